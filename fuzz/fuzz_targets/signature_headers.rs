#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conversiond_fuzz::properties::signature_headers(data));
