//! Values that stand in many requests and answers, each as a schema of its own made from the
//! domain's limits. A doc comment here is the description there.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::domain::attempt;
use crate::domain::attribution::{Attribution, Unattributed};
use crate::domain::click_token;
use crate::domain::event::{self, METADATA_BYTES_MAX};
use crate::domain::ids;
use crate::domain::landing_url;
use crate::domain::merchant;
use crate::domain::money::Money;
use crate::domain::order;
use crate::domain::order_status;
use crate::domain::report;
use crate::domain::signature;
use crate::http::api::answer::{ACCEPTED, DUPLICATE};
use crate::http::api::bulk_answer::REJECTED;
use crate::http::error::Code;
use crate::http::openapi::examples::TOKEN;

macro_rules! values {
    ($($(#[doc = $doc:literal])+ $name:ident => $schema:tt;)*) => {
        $(
            $(#[doc = $doc])+
            pub struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let mut schema = json_schema!($schema);
                    schema.insert("description".to_owned(), concat!($($doc),+).trim().into());
                    schema
                }
            }
        )*

        /// Puts every value among the generator's definitions.
        pub fn declare(generator: &mut SchemaGenerator) {
            $(generator.subschema_for::<$name>();)*
        }
    };
}

values! {
    /// An event's id: a TypeID.
    EventId => { "type": "string", "pattern": type_id("evt"), "examples": ["evt_01k86r3hkvfyh8z0rff08k4yyf"] };

    /// A click's id: a TypeID.
    ClickId => { "type": "string", "pattern": type_id("clk"), "examples": ["clk_01kam013kve86btrzkxeedq4gg"] };

    /// A merchant's id: a TypeID.
    MerchantId => { "type": "string", "pattern": type_id("mer"), "examples": ["mer_01kam013kve86btrzkxeedq4gg"] };

    /// A click's token, opaque to everybody: to be sent back with the conversions that come of the click.
    ClickToken => {
        "type": "string", "pattern": format!("^[A-Za-z0-9_-]{{{}}}$", click_token::CHARS), "examples": [TOKEN]
    };

    /// Why the token was not appended to the landing URL: no absolute URL; neither http nor https; a user
    /// name or password in it; a token there already; a parameter that signs or fixes the query; longer
    /// than 2,048 characters with it.
    LeftAloneReason => {
        "type": "string", "enum": landing_url::LeftAlone::ALL.map(landing_url::LeftAlone::as_str)
    };

    /// An attempt's id: a TypeID.
    AttemptId => { "type": "string", "pattern": type_id("att"), "examples": ["att_01k86r3hkvfyh8z0rff08k4yyf"] };

    /// How an attempt ended, in one word.
    AttemptWord => {
        "type": "string", "enum": attempt::AttemptOutcome::ALL.map(attempt::AttemptOutcome::as_str)
    };

    /// The id of a short link or of its domain, in canonical lower case.
    LinkId => { "type": "string", "format": "uuid" };

    /// One of the merchant's own ids: opaque text without control characters, compared byte for byte.
    /// It must not hold personal data.
    ExternalId => {
        "type": "string", "minLength": 1, "maxLength": ids::ExternalId::CHARS_MAX,
        "pattern": NO_CONTROL_CHARACTERS, "examples": ["ORD-1001"]
    };

    /// An instant: RFC 3339 with an offset, in the years 1 to 9999. It is cut to microseconds. Numbers are
    /// refused, and so is a 60th second.
    Instant => { "type": "string", "format": "date-time", "examples": ["2026-01-15T10:30:00Z"] };

    /// An instant in UTC: RFC 3339.
    UtcInstant => {
        "type": "string", "format": "date-time", "pattern": "Z$", "examples": ["2026-01-15T10:30:00.123456Z"]
    };

    /// An amount of money: a decimal string, or a number of the same form. It is read from its literal
    /// digits, never through a float, and never rounded: no more decimals than the currency has (JPY 0,
    /// USD 2, KWD 3), no sign, no exponent, at most 10^15 minor units.
    Amount => {
        "anyOf": [
            { "type": "string", "pattern": "^(0|[1-9][0-9]*)(\\.[0-9]+)?$", "maxLength": amount_chars_max() },
            { "type": "number", "minimum": 0, "maximum": Money::MINOR_MAX }
        ],
        "examples": ["129.90"]
    };

    /// A decimal string at the currency's full scale.
    Decimal => {
        "type": "string", "pattern": "^(0|[1-9][0-9]*)(\\.[0-9]+)?$", "maxLength": amount_chars_max(),
        "examples": ["129.90"]
    };

    /// A decimal string at the currency's full scale: amounts added up, however large they get.
    Sum => { "type": "string", "pattern": "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?$", "examples": ["129.90"] };

    /// An order in one word: the first that holds.
    OrderState => { "type": "string", "enum": order::State::ALL.map(order::State::as_str) };

    /// What somebody should look at. `over_refunded`: more was given back than was sold.
    /// `currency_mismatch`: a refund is in another currency than the sale. `conflicting_repeat`: an event was
    /// told again with other content; the first told stands.
    OrderFlag => { "type": "string", "enum": order::Flag::ALL.map(order::Flag::as_str) };

    /// What differs. `missing_here`: only the books have the order, or its sale is recorded outside the
    /// period. `missing_there`: only the service has it. `amount_differs`: `field` says which.
    DifferenceKind => {
        "type": "string",
        "enum": ["missing_here", "missing_there", "amount_differs", "currency_differs", "state_differs"]
    };

    /// A number with six decimals.
    Rate => { "type": "string", "pattern": "^(0|[1-9][0-9]*)\\.[0-9]{6}$", "examples": ["0.031250"] };

    /// A day.
    Date => { "type": "string", "format": "date", "examples": ["2026-01-15"] };

    /// A month.
    Month => { "type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "examples": ["2026-01"] };

    /// Something that a report's rows are told apart by.
    ReportDimension => {
        "type": "string", "enum": report::Dimension::ALL.map(report::Dimension::as_str)
    };

    /// `sale`: everything that happens to an order counts in the period of its sale. `event`: when it happens,
    /// and what lies before the sale with the sale; amounts are then changes. Over all time both are the same.
    ReportBasis => { "type": "string", "enum": report::Basis::ALL.map(report::Basis::as_str) };

    /// Whether a sale or lead is credited to a click.
    CreditStatus => { "type": "string", "enum": ["attributed", "unattributed"] };

    /// An ISO 4217 currency code that has a minor unit, in any case.
    Currency => { "type": "string", "pattern": "^[A-Za-z]{3}$", "examples": ["USD", "EUR", "JPY", "KWD"] };

    /// An ISO 4217 currency code.
    CurrencyCode => { "type": "string", "pattern": "^[A-Z]{3}$", "examples": ["USD"] };

    /// What happened. `status_refund` is never reported as such: it is made of a `returned` or `refunded`
    /// order's status.
    EventName => { "type": "string", "enum": event::EventName::ALL.map(event::EventName::as_str) };

    /// Real business, or a test made with an `ak_test_` key; the two never meet.
    Mode => { "type": "string", "enum": [merchant::Mode::Live.as_str(), merchant::Mode::Test.as_str()] };

    /// What an order has come to. `cancelled` is also recorded as the order's cancellation, `returned` and
    /// `refunded` as one status refund per order.
    OrderStatus => {
        "type": "string", "enum": order_status::OrderStatus::ALL.map(order_status::OrderStatus::as_str)
    };

    /// An order's status as it is reported: the words of `OrderStatus` in any case, and `canceled`.
    ReportedStatus => { "type": "string", "pattern": reported_status(), "examples": ["paid", "Refunded"] };

    /// `ACCEPTED`: recorded now. `DUPLICATE`: was recorded before, and the answer is the original's. Both are
    /// successes.
    RecordedWord => { "type": "string", "enum": [ACCEPTED, DUPLICATE] };

    /// Nothing was recorded.
    RejectedWord => { "type": "string", "const": REJECTED };

    /// Whether an event is credited to a click.
    AttributionStatus => { "type": "string", "enum": Attribution::STATUSES };

    /// Why an event earned no link. Its money is recorded all the same.
    UnattributedReason => { "type": "string", "enum": Unattributed::ALL.map(Unattributed::as_str) };

    /// The merchant's own object, stored and echoed, never interpreted: at most 8 KiB as sent.
    Metadata => { "type": "object", "x-max-bytes": METADATA_BYTES_MAX };

    /// Names one logical operation: 1 to 255 visible ASCII characters, bare or as a quoted string of RFC
    /// 9651, which is the same key.
    IdempotencyKey => { "type": "string", "pattern": idempotency_key(), "examples": ["ORD-1001-sale"] };

    /// A place in a JSON text (RFC 6901).
    Pointer => { "type": "string", "pattern": "^(/([^~/]|~[01])*)*$", "examples": ["/custom_data/value"] };

    /// Where a list goes on.
    Cursor => { "type": "string", "pattern": "^[A-Za-z0-9_-]+$" };

    /// Why a request was refused, for programs. A code never changes its meaning; new ones may come.
    ProblemCode => { "type": "string", "enum": codes(Code::ALL) };

    /// Why a row was refused.
    RowProblem => {
        "allOf": [
            reference::<crate::http::problem_response::ProblemBody<'_>>(),
            { "properties": {
                "status": { "enum": [400, 422] },
                "code": { "enum": codes(ROW_CODES) },
                "retryable": { "const": false }
            } }
        ]
    };
}

/// What a row of a bulk request can be refused for.
const ROW_CODES: &[Code] =
    &[Code::MalformedJson, Code::ValidationFailed, Code::IdempotencyKeyMismatch, Code::RefundIdRequired];

/// No control characters (Unicode's Cc).
const NO_CONTROL_CHARACTERS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// Text without control characters but tabs and line breaks.
pub const PROSE: &str = "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*$";

/// A reference to a type's schema among the document's components.
pub fn reference<T: JsonSchema>() -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", T::schema_name()) })
}

/// The same or `null`, which counts as absent wherever a member is optional.
pub fn nullable<T: JsonSchema>() -> Value {
    json!({ "anyOf": [reference::<T>(), { "type": "null" }] })
}

/// The names of codes.
pub fn codes(codes: &[Code]) -> Vec<&'static str> {
    codes.iter().map(|code| code.as_str()).collect()
}

/// The statuses' words, each letter in either case: the pattern language has no flag for it.
fn reported_status() -> String {
    let words = order_status::OrderStatus::ALL.map(order_status::OrderStatus::as_str);
    let letter = |c: char| match c {
        '_' => "_".to_owned(),
        c => format!("[{c}{}]", c.to_ascii_uppercase()),
    };
    let words =
        words.into_iter().chain(["canceled"]).map(|word| word.chars().map(letter).collect::<String>());
    format!("^({})$", words.collect::<Vec<_>>().join("|"))
}

fn type_id(prefix: &str) -> String {
    format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$")
}

/// The largest amount's digits, and a point.
fn amount_chars_max() -> usize {
    Money::MINOR_MAX.to_string().len() + 1
}

fn idempotency_key() -> String {
    let max = signature::IdempotencyKey::CHARS_MAX;
    let bare = format!("[!#-~][!-~]{{0,{}}}", max - 1);
    format!(r#"^({bare}|"([!#-\[\]-~]|\\["\\]){{1,{max}}}")$"#)
}
