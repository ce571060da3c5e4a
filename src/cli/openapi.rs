//! `conversiond openapi`

use super::{Context, Failure};
use crate::http::HttpLimits;
use crate::http::openapi::Document;

pub fn run(context: &Context) -> Result<(), Failure> {
    let document = Document::new(&HttpLimits::new(&context.config));
    context.output.show(&document, || document.text().trim_end().to_owned())
}
