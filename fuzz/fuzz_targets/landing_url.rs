#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conversiond_fuzz::properties::landing_url(data));
