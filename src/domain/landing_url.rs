//! Appending the click token to a landing URL, only where that is safe (contract section 5).

use url::Url;
use url::form_urlencoded;

/// The name of the parameter.
pub const PARAMETER: &str = "nim_ct";

/// The longest URL that appending may make, in characters.
pub const CHARS_MAX: usize = 2_048;

/// Why a URL was left exactly as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftAlone {
    /// Not an absolute URL, or one with white space or control characters in it.
    InvalidUrl,
    /// Neither http nor https.
    UnsupportedScheme,
    /// It holds a user name or password.
    Userinfo,
    /// It has a click token already.
    TokenPresent,
    /// A parameter signs or fixes the query: one more would break it.
    SignedQuery,
    /// It would grow beyond [`CHARS_MAX`].
    TooLong,
}

impl LeftAlone {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::InvalidUrl,
        Self::UnsupportedScheme,
        Self::Userinfo,
        Self::TokenPresent,
        Self::SignedQuery,
        Self::TooLong,
    ];

    /// The reason's name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidUrl => "invalid_url",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::Userinfo => "userinfo",
            Self::TokenPresent => "token_present",
            Self::SignedQuery => "signed_query",
            Self::TooLong => "too_long",
        }
    }
}

/// Parameters that sign or fix a query: each entry is a set of names that must all be there.
#[derive(Debug, Clone)]
pub struct SigningParameters(Vec<Vec<String>>);

impl SigningParameters {
    /// Reads a list such as `["sig", "Policy+Key-Pair-Id"]`.
    pub fn from_list<S: AsRef<str>>(entries: &[S]) -> Self {
        Self(entries.iter().map(|entry| entry.as_ref().split('+').map(str::to_owned).collect()).collect())
    }

    fn fix(&self, query: &str) -> bool {
        let names: Vec<_> = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name).collect();
        let there = |wanted: &String| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
        self.0.iter().any(|set| set.iter().all(there))
    }
}

/// The URL with the token added to its query; all the rest stays byte for byte.
pub fn append(landing: &str, token: &str, signing: &SigningParameters) -> Result<String, LeftAlone> {
    if landing.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(LeftAlone::InvalidUrl);
    }
    let url = Url::parse(landing).map_err(|_| LeftAlone::InvalidUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(LeftAlone::UnsupportedScheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(LeftAlone::Userinfo);
    }
    let (before, fragment) = match landing.split_once('#') {
        Some((before, fragment)) => (before, Some(fragment)),
        None => (landing, None),
    };
    let query = before.split_once('?').map(|(_, query)| query);
    if let Some(query) = query {
        if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == PARAMETER) {
            return Err(LeftAlone::TokenPresent);
        }
        if signing.fix(query) {
            return Err(LeftAlone::SignedQuery);
        }
    }
    let separator = match query {
        None => "?",
        Some(query) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let mut appended = format!("{before}{separator}{PARAMETER}={token}");
    if let Some(fragment) = fragment {
        appended.push('#');
        appended.push_str(fragment);
    }
    if appended.chars().count() > CHARS_MAX { Err(LeftAlone::TooLong) } else { Ok(appended) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(url: &str) -> Result<String, LeftAlone> {
        let signing =
            SigningParameters::from_list(&["sig", "X-Amz-Signature", "Policy+Key-Pair-Id", "se+sp+sv"]);
        append(url, "T", &signing)
    }

    #[test]
    fn the_rest_of_the_url_stays_byte_for_byte() {
        for (url, expected) in [
            ("https://Shop.example", "https://Shop.example?nim_ct=T"),
            ("http://shop.example/a%2Fb?x=%7e&y#part?z", "http://shop.example/a%2Fb?x=%7e&y&nim_ct=T#part?z"),
            ("https://shop.example/?", "https://shop.example/?nim_ct=T"),
            ("https://shop.example/?a&", "https://shop.example/?a&nim_ct=T"),
            ("https://shop.example/#", "https://shop.example/?nim_ct=T#"),
            ("https://shop.example/?Policy=1", "https://shop.example/?Policy=1&nim_ct=T"),
        ] {
            assert_eq!(appended(url).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn an_unsafe_url_is_left_alone_with_the_reason() {
        for (url, reason) in [
            ("ftp://shop.example/", LeftAlone::UnsupportedScheme),
            ("javascript:alert(1)", LeftAlone::UnsupportedScheme),
            ("/relative", LeftAlone::InvalidUrl),
            ("https://shop.example/a b", LeftAlone::InvalidUrl),
            ("https://user@shop.example/", LeftAlone::Userinfo),
            ("https://:pw@shop.example/", LeftAlone::Userinfo),
            ("https://shop.example/?nim_ct=x", LeftAlone::TokenPresent),
            ("https://shop.example/?n%69m_ct=x", LeftAlone::TokenPresent),
            ("https://shop.example/?a=1&sig=x", LeftAlone::SignedQuery),
            ("https://shop.example/?x-amz-signature=x", LeftAlone::SignedQuery),
            ("https://shop.example/?Policy=1&Key-Pair-Id=2", LeftAlone::SignedQuery),
            ("https://shop.example/?sv=1&se=2&sp=3", LeftAlone::SignedQuery),
        ] {
            assert_eq!(appended(url), Err(reason), "{url}");
        }
    }

    #[test]
    fn the_length_is_limited_after_appending() {
        let fits = format!(
            "https://shop.example/{}",
            "a".repeat(CHARS_MAX - "https://shop.example/?nim_ct=T".len())
        );
        assert_eq!(appended(&fits).map(|url| url.len()), Ok(CHARS_MAX));
        assert_eq!(appended(&format!("{fits}a")), Err(LeftAlone::TooLong));
    }
}
