//! The columns of a new event, once: both databases' inserts are made of this list.

/// Hands the list to a macro. Each line: column, its value for a batch's array, the SQL type, the
/// array's cast on PostgreSQL, and how the value is read off a [`super::row::NewRow`].
macro_rules! with_event_columns {
    ($made_of_them:ident) => {
        $made_of_them! {
            merchant_id: &'a str => Text, "::text[]", |row| row.merchant_id.as_str();
            mode: &'a str => Text, "::text[]", |row| row.mode;
            event_id: &'a str => Text, "::text[]", |row| row.event_id.as_str();
            event_name: &'a str => Text, "::text[]", |row| row.event_name;
            order_id: &'a str => Text, "::text[]", |row| row.order_id;
            own_id: &'a str => Text, "::text[]", |row| row.own_id;
            external_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.external_id;
            occurred_at: NaiveDateTime => Timestamp, "::timestamp[]", |row| row.occurred_at;
            occurred_given: bool => Bool, "::bool[]", |row| row.occurred_given;
            received_at: NaiveDateTime => Timestamp, "::timestamp[]", |row| row.received_at;
            value_minor: Option<i64> => Nullable<BigInt>, "::bigint[]", |row| row.value_minor;
            currency: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.currency;
            attribution: &'a str => Text, "::text[]", |row| row.attribution;
            attribution_reason: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.attribution_reason;
            click_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.click_id.as_deref();
            url_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.url_id.as_deref();
            domain_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.domain_id.as_deref();
            clicked_at: Option<NaiveDateTime> => Nullable<Timestamp>, "::timestamp[]", |row| row.clicked_at;
            product_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.product_id;
            coupon_code: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.coupon_code;
            metadata: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.metadata;
            body: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.body;
            key_id: &'a str => Text, "::text[]", |row| row.key_id;
            signature_form: &'a str => Text, "::text[]", |row| row.signature_form;
            idempotency_key: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.idempotency_key;
            times_received: i64 => BigInt, "::bigint[]", |row| row.times_received;
            times_differed: i64 => BigInt, "::bigint[]", |row| row.times_differed;
        }
    };
}

pub(super) use with_event_columns;
