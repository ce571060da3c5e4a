use url::Url;
use uuid::Uuid;

use crate::domain::click_token::{TokenKey, TokenRing};
use crate::domain::ids::{ClickId, MerchantId};
use crate::domain::landing_url::{CHARS_MAX, LeftAlone, PARAMETER, SigningParameters, append};

fn ring() -> TokenRing {
    let key = |byte| TokenKey::new(&[byte; 32]);
    TokenRing::new([(1, key(7)), (2, key(8))])
}

/// A click token: what was minted says what it was minted of, and nothing near it is genuine.
pub fn click_token(data: &[u8]) {
    let ring = ring();
    // Nobody can write a genuine one without the key; if the fuzzer can, that is a finding.
    let text = String::from_utf8_lossy(data);
    assert!(ring.verify(&text).is_err(), "forged: {text}");
    let Some((ids, edits)) = data.split_at_checked(64) else { return };
    let uuid = |at: usize| Uuid::from_slice(&ids[at..at + 16]).unwrap();
    let (merchant, click) = (MerchantId::from_uuid(uuid(0)), ClickId::from_uuid(uuid(48)));
    let Some(token) = ring.mint(merchant, uuid(16), uuid(32), click) else {
        return assert_eq!(click.clicked_at(), None);
    };
    let (number, read) = ring.inspect(&token).expect("what was minted");
    assert_eq!((number, read.merchant_id, read.click_id), (2, merchant, click));
    assert_eq!((read.domain_id, read.url_id), (uuid(16), uuid(32)));
    assert_eq!(Some(read.clicked_at), click.clicked_at());
    let mut edited = token.clone().into_bytes();
    for edit in edits.chunks_exact(2).take(8) {
        let at = usize::from(edit[0]) % edited.len();
        match edit[0] / 128 {
            0 => edited[at] = edit[1],
            _ => edited.insert(at, edit[1]),
        }
    }
    let edited = String::from_utf8_lossy(&edited);
    assert_eq!(ring.verify(&edited).is_ok(), edited == token, "{edited} beside {token}");
}

/// A landing URL: the token is added and nothing else is touched, or it is left alone for a reason.
pub fn landing_url(data: &[u8]) {
    let Ok(landing) = std::str::from_utf8(data) else { return };
    let signing = SigningParameters::from_list(&["sig", "X-Amz-Signature", "Policy+Key-Pair-Id", "se+sp+sv"]);
    let appended = match append(landing, "TOKEN", &signing) {
        Ok(appended) => appended,
        Err(reason) => return assert!(LeftAlone::ALL.contains(&reason)),
    };
    assert!(appended.chars().count() <= CHARS_MAX);
    let (with, without) = (Url::parse(&appended).expect("a URL"), Url::parse(landing).expect("a URL"));
    // Where it leads to is the same.
    assert_eq!(
        (with.scheme(), with.host(), with.port(), with.path(), with.fragment()),
        (without.scheme(), without.host(), without.port(), without.path(), without.fragment())
    );
    assert!(matches!(with.scheme(), "http" | "https") && with.has_host());
    assert!(with.username().is_empty() && with.password().is_none());
    // Its parameters are the same, and the token.
    let pairs = |url: &Url| -> Vec<(String, String)> { url.query_pairs().into_owned().collect() };
    let mut expected = pairs(&without);
    expected.push((PARAMETER.to_owned(), "TOKEN".to_owned()));
    assert_eq!(pairs(&with), expected);
    // And every byte of it is still there.
    let parameter = format!("{PARAMETER}=TOKEN");
    let (before, after) = appended.split_once(&parameter).expect("the parameter");
    let restored =
        ["", "?", "&"].map(|separator| before.strip_suffix(separator).map(|head| head.to_owned() + after));
    assert!(restored.iter().flatten().any(|text| text == landing), "{landing} became {appended}");
    assert_eq!(append(&appended, "OTHER", &signing), Err(LeftAlone::TokenPresent));
}
