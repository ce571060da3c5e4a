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
        rate_per_s -> Nullable<Integer>,
        burst -> Nullable<Integer>,
        require_v2 -> Bool,
        rows_per_s -> Nullable<Integer>,
        quota_rows -> Nullable<BigInt>,
        quota_bytes -> Nullable<BigInt>,
    }
}

diesel::table! {
    merchant_usage (merchant_id, day) {
        merchant_id -> Text,
        day -> Date,
        rows -> BigInt,
        bytes -> BigInt,
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
        tag -> Binary,
        tag_master_key -> Integer,
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
        retired_at -> Nullable<Timestamp>,
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
        attempt_id -> Nullable<Text>,
        erased_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    idempotency_keys (merchant_id, mode, idempotency_key) {
        merchant_id -> Text,
        mode -> Text,
        idempotency_key -> Text,
        claimed_by -> Text,
        fingerprint -> Text,
        status -> Integer,
        body -> Text,
        created_at -> Timestamp,
        expires_at -> Timestamp,
        times_seen -> BigInt,
    }
}

diesel::table! {
    external_events (merchant_id, mode, external_event_id) {
        merchant_id -> Text,
        mode -> Text,
        external_event_id -> Text,
        attempt_id -> Text,
        topic -> Text,
        fingerprint -> Text,
        order_id -> Text,
        received_at -> Timestamp,
        times_received -> BigInt,
    }
}

diesel::table! {
    order_statuses (merchant_id, mode, order_id, status, status_updated_at) {
        merchant_id -> Text,
        mode -> Text,
        order_id -> Text,
        status -> Text,
        status_updated_at -> Text,
        attempt_id -> Text,
        event_id -> Nullable<Text>,
        received_at -> Timestamp,
        reason -> Nullable<Text>,
        metadata -> Nullable<Text>,
        body -> Nullable<Text>,
        key_id -> Text,
        signature_form -> Text,
        times_received -> BigInt,
        erased_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    attempts (merchant_id, attempt_id, bulk_row) {
        merchant_id -> Text,
        attempt_id -> Text,
        bulk_row -> Integer,
        mode -> Text,
        started_at -> Timestamp,
        endpoint -> Text,
        peer -> Nullable<Text>,
        key_id -> Nullable<Text>,
        request_id -> Text,
        body_sha256 -> Nullable<Text>,
        body_bytes -> BigInt,
        outcome -> Text,
        status -> Integer,
        reason -> Text,
        error_pointer -> Nullable<Text>,
        order_id -> Nullable<Text>,
        event_id -> Nullable<Text>,
        elapsed_us -> BigInt,
        authenticated -> Bool,
    }
}

diesel::table! {
    clicks (merchant_id, click_id) {
        merchant_id -> Text,
        click_id -> Text,
        domain_id -> Text,
        url_id -> Text,
        clicked_at -> Timestamp,
        recorded_at -> Timestamp,
        key_id -> Text,
        attempt_id -> Text,
    }
}

diesel::table! {
    retention_progress (merchant_id, mode, subject) {
        merchant_id -> Text,
        mode -> Text,
        subject -> Text,
        place -> Text,
        begun_at -> Timestamp,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    merchants,
    api_keys,
    key_secrets,
    token_keys,
    events,
    idempotency_keys,
    external_events,
    order_statuses,
    attempts,
    clicks,
    retention_progress,
);
