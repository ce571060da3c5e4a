//! The grammar of PostgreSQL's URLs, stricter than libpq's: whatever libpq would refuse, or read
//! otherwise than it was meant, it repeats in its error, and that may be a part of the password.

use secrecy::{ExposeSecret as _, SecretString};

/// What is wrong with a URL, without a word of it.
pub type Fault = &'static str;

const ESCAPE: Fault = ": a % in it must begin a percent-encoded byte (%25 is the sign itself)";
const RESERVED: Fault =
    ": percent-encode @ : / ? # [ ] and spaces in the user's name and the password (%40 is @)";
const SPACES: Fault = ": it holds a space or a control character";
const PORT: Fault = ": the port is not a number (a user's name and password stand before an @)";
const HOST: Fault = ": the host's name cannot be read";
const QUERY: Fault = ": behind the ? stand libpq's parameters, name=value, separated by &";

/// The parameters that may stand behind the question mark.
const PARAMETERS: [&str; 54] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
    "authtype",
];

/// Those of them that are secret.
const SECRET_PARAMETERS: [&str; 5] =
    ["password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"];

struct Parts<'a> {
    userinfo: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// Of what stands behind `postgres://`.
    fn of(rest: &'a str) -> Result<Self, Fault> {
        let (before_query, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
        // A sign that ends the password for libpq may have been meant as a part of it.
        if path.contains('@') || query.is_some_and(|query| query.contains('@')) {
            return Err(RESERVED);
        }
        let (userinfo, hosts) = match authority.split_once('@') {
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, authority),
        };
        if hosts.contains('@') {
            return Err(RESERVED);
        }
        Ok(Self { userinfo, hosts, path, query })
    }

    fn parameters(&self) -> impl Iterator<Item = Option<(&'a str, &'a str)>> {
        self.query.into_iter().flat_map(|query| query.split('&')).map(|pair| pair.split_once('='))
    }

    fn passwords(&self) -> Vec<&'a str> {
        let of_user =
            self.userinfo.and_then(|userinfo| userinfo.split_once(':')).map(|(_, password)| password);
        let of_query = self.parameters().flatten().filter(|(name, _)| SECRET_PARAMETERS.contains(name));
        of_user.into_iter().chain(of_query.map(|(_, value)| value)).collect()
    }
}

/// Checks what stands behind `postgres://`.
pub fn check(rest: &str) -> Result<(), Fault> {
    if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SPACES);
    }
    if !escapes_are_right(rest) {
        return Err(ESCAPE);
    }
    let parts = Parts::of(rest)?;
    if let Some(userinfo) = parts.userinfo {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        if [user, password].iter().any(|part| part.contains([':', '#', '[', ']'])) {
            return Err(RESERVED);
        }
    }
    for host in parts.hosts.split(',') {
        check_host(host)?;
    }
    if parts.path.contains(['#', '/']) {
        return Err(RESERVED);
    }
    let known = |parameter: Option<(&str, &str)>| {
        parameter.is_some_and(|(name, value)| PARAMETERS.contains(&name) && !value.contains(['=', '#']))
    };
    if parts.parameters().all(known) { Ok(()) } else { Err(QUERY) }
}

fn check_host(text: &str) -> Result<(), Fault> {
    let (host, port) = match text.strip_prefix('[') {
        Some(address) => {
            let (address, port) = address.split_once(']').ok_or(HOST)?;
            let plain = address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'%'));
            if !plain {
                return Err(HOST);
            }
            ("", if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(HOST)?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host
        .bytes()
        .any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'%')) && b < 0x80)
    {
        return Err(HOST);
    }
    let is_number = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    if port.is_none_or(is_number) { Ok(()) } else { Err(PORT) }
}

/// Each `%` stands before two hexadecimal digits of a byte that is not NUL.
fn escapes_are_right(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let byte = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        byte.is_some_and(|byte| byte != "00")
    })
}

/// The passwords in a URL, as they stand there and decoded.
pub fn passwords(url: &SecretString) -> Vec<SecretString> {
    let rest = url.expose_secret().split_once("://").map_or("", |(_, rest)| rest);
    let Ok(parts) = Parts::of(rest) else { return vec![rest.to_owned().into()] };
    parts
        .passwords()
        .into_iter()
        .flat_map(|password| {
            // A query in which the value stands is read by the rules of forms, where + is a space.
            let literal = password.replace('+', "%2B");
            let decoded = url::form_urlencoded::parse(format!("p={literal}").as_bytes())
                .next()
                .map(|(_, value)| value.into_owned());
            decoded.into_iter().chain([password.to_owned()])
        })
        .map(SecretString::from)
        .collect()
}

/// The shortest part of a secret that is hidden: shorter ones stand in every text.
const HIDDEN_CHARS_MIN: usize = 4;

/// A text without any part of these secrets.
pub fn redact(text: &str, secrets: &[SecretString]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        match longest_part(rest, secrets) {
            Some(length) => {
                shown.push_str("[redacted]");
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                let mut chars = rest.chars();
                shown.extend(chars.next());
                rest = chars.as_str();
            }
        }
    }
    shown
}

/// How much of the text's beginning stands in one of the secrets, in bytes, if it is enough to tell.
fn longest_part(text: &str, secrets: &[SecretString]) -> Option<usize> {
    let ends: Vec<usize> = text.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    let stands_in_one = |end: usize| {
        text.get(..end).is_some_and(|part| secrets.iter().any(|secret| secret.expose_secret().contains(part)))
    };
    let mut longest = None;
    for end in ends.into_iter().skip(HIDDEN_CHARS_MIN - 1) {
        if !stands_in_one(end) {
            break;
        }
        longest = Some(end);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_reads_as_it_is_meant_is_taken() {
        for url in [
            "",
            "h",
            "h/db",
            "u@h",
            "u:p@h:5432/db",
            "u:p%40%2f%25@h/db",
            "h1:1,h2,h3:3/db",
            "[::1]:5432/db",
            "[fe80::1%25eth0]/db",
            "%2Fvar%2Frun/db",
            "/db",
            "/db?host=%2Ftmp",
            "u:p@h/db?sslmode=require&options=-c%20a%3Db",
            "u:@h",
            "h:/db",
            "h/db?password=x%26y",
            "ü:ß@ü.example/db",
        ] {
            assert_eq!(check(url), if url.contains("eth0") { Err(HOST) } else { Ok(()) }, "{url}");
        }
    }

    #[test]
    fn what_libpq_would_refuse_or_read_otherwise_is_refused_without_a_word_of_it() {
        const PASSWORD: &str = "S3cr3tM4rker";
        for (broken, fault) in [
            ("%", ESCAPE),
            ("%2", ESCAPE),
            ("%zz", ESCAPE),
            ("%00", ESCAPE),
            ("@", RESERVED),
            ("/", PORT),
            ("?", PORT),
            ("#", RESERVED),
            (":", RESERVED),
            ("[", RESERVED),
            (" ", SPACES),
            ("\n", SPACES),
        ] {
            for password in [format!("{PASSWORD}{broken}x"), format!("{broken}{PASSWORD}")] {
                let found = check(&format!("u:{password}@h/db"));
                assert!(
                    found.is_err_and(|found| found == fault || found == RESERVED),
                    "{password}: {found:?}"
                );
                assert!(!found.unwrap_err().contains("S3cr"), "{password}");
            }
        }
        for (url, fault) in [
            ("u:S3cr3t/db", PORT),
            ("u:S3cr3t", PORT),
            ("h:65536/db", PORT),
            ("h/db?password=a&b", QUERY),
            ("h/db?password=a&b=c", QUERY),
            ("h/db?password=a=b", QUERY),
            ("h/db?S3cr3t", QUERY),
            ("h/db?", QUERY),
            ("h/db?user=a@b", RESERVED),
            ("[::1/db", HOST),
            ("h!/db", HOST),
        ] {
            assert_eq!(check(url), Err(fault), "{url}");
        }
    }

    #[test]
    fn no_part_of_a_password_that_could_tell_it_is_shown_written_either_way() {
        let url: SecretString = "postgres://u:abc%40def+gh@host/db?sslpassword=keyword".to_owned().into();
        let secrets = passwords(&url);
        for (text, shown) in [
            ("x abc%40def+gh y", "x [redacted] y"),
            ("x abc@def+gh y", "x [redacted] y"),
            ("\"@def\" and \"c%40\"", "\"[redacted]\" and \"[redacted]\""),
            ("keyword, keyworx, xeywor", "[redacted], [redacted]x, x[redacted]"),
            ("host db abc", "host db abc"),
            ("", ""),
        ] {
            assert_eq!(redact(text, &secrets), shown, "{text}");
        }
    }
}
