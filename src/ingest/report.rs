//! Reports.

use super::Ingest;
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::report::{Report, ReportQuery, TooManyRows};
use crate::storage::StoreError;
use crate::storage::reports::{self, Scope};

impl Ingest {
    /// A report of a merchant's, all of it as of one moment. It returns its query, too.
    pub async fn report(
        &self,
        merchant: MerchantId,
        mode: Mode,
        query: ReportQuery,
    ) -> Result<Result<(ReportQuery, Report), TooManyRows>, StoreError> {
        let work = move |connection: &mut _| {
            let report = reports::report(connection, Scope { merchant, mode }, &query)?;
            Ok(report.map(|report| (query, report)))
        };
        self.reader.run_long(merchant, work).await
    }
}
