//! The tables as diesel knows them, in the subset that both databases share. Hand-kept; a test
//! compares it with what the migrations make.

diesel::table! {
    merchants (merchant_id) {
        merchant_id -> Text,
        name -> Text,
        currency -> Nullable<Text>,
        attribution_window_days -> Integer,
        plan -> Text,
        suspended -> Bool,
        created_at -> Timestamp,
    }
}

diesel::table! {
    api_keys (merchant_id, key_id) {
        merchant_id -> Text,
        key_id -> Text,
        ip_allow -> Text,
        require_v2 -> Bool,
        created_at -> Timestamp,
        revoked_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    key_secrets (merchant_id, key_id, secret_id) {
        merchant_id -> Text,
        key_id -> Text,
        secret_id -> Text,
        ciphertext -> Binary,
        master_key -> Integer,
        created_at -> Timestamp,
        expires_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    token_keys (number) {
        number -> Integer,
        ciphertext -> Binary,
        master_key -> Integer,
        created_at -> Timestamp,
    }
}

diesel::table! {
    events (merchant_id, mode, event_id) {
        merchant_id -> Text,
        mode -> Text,
        event_id -> Text,
        event_name -> Text,
        order_id -> Text,
        own_id -> Text,
        external_id -> Nullable<Text>,
        occurred_at -> Timestamp,
        occurred_given -> Bool,
        received_at -> Timestamp,
        value_minor -> Nullable<BigInt>,
        currency -> Nullable<Text>,
        attribution -> Text,
        attribution_reason -> Nullable<Text>,
        click_id -> Nullable<Text>,
        url_id -> Nullable<Text>,
        domain_id -> Nullable<Text>,
        clicked_at -> Nullable<Timestamp>,
        late_attribution_at -> Nullable<Timestamp>,
        product_id -> Nullable<Text>,
        coupon_code -> Nullable<Text>,
        metadata -> Nullable<Text>,
        body -> Nullable<Text>,
        key_id -> Text,
        signature_form -> Text,
        idempotency_key -> Nullable<Text>,
        times_received -> BigInt,
        times_differed -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(merchants, api_keys, key_secrets, token_keys, events);
