//! What must be true of the shipped files as they stand.

use crate::nginx::SHIPPED;

const COMPOSE: &str = include_str!("../../compose.yaml");

/// The configuration's directives, one a line, without comments.
fn directives() -> Vec<&'static str> {
    let without_comment = |line: &'static str| line.split_once('#').map_or(line, |(before, _)| before).trim();
    SHIPPED.lines().map(without_comment).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_gateway_has_no_regular_expression_no_rewrite_and_no_condition() {
    for line in directives() {
        let first = line.split_whitespace().next().unwrap();
        assert!(
            !["rewrite", "if", "perl", "js_content", "resolver", "ssi", "sub_filter"].contains(&first),
            "{line}"
        );
        assert!(!line.contains('~'), "a regular expression: {line}");
        for digit in 0..=9 {
            assert!(!line.contains(&format!("${digit}")), "a capture: {line}");
        }
        assert!(!line.contains("http2") && !line.contains("quic"), "{line}");
    }
}

#[test]
fn no_part_of_a_request_that_strangers_write_is_logged() {
    let start = SHIPPED.find("log_format json").unwrap();
    let format = &SHIPPED[start..start + SHIPPED[start..].find(';').unwrap()];
    for variable in
        ["$request\"", "$request_uri", "$uri", "$args", "$query_string", "$http_", "$host", "$request_method"]
    {
        assert!(!format.contains(variable), "{variable}");
    }
    assert!(directives().contains(&"error_log /dev/stderr crit;"), "lines at `error` quote the request");
}

/// `64k`, `17m` in bytes.
fn bytes(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let factor = match unit {
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        other => panic!("{other}"),
    };
    number.parse::<u64>().unwrap() * factor
}

/// The only value of a directive among these lines.
fn value<'a>(lines: &[&'a str], directive: &str) -> &'a str {
    let mut found = lines.iter().filter_map(|line| line.strip_prefix(directive)?.trim().strip_suffix(';'));
    let value = found.next().unwrap_or_else(|| panic!("{directive}"));
    assert_eq!(found.next(), None, "{directive} twice");
    value
}

/// Directives outside of locations, and each location with its own.
fn locations() -> (Vec<&'static str>, Vec<(&'static str, Vec<&'static str>)>) {
    let (mut outside, mut locations, mut current) = (Vec::new(), Vec::new(), None);
    for line in directives() {
        match (&mut current, line) {
            (None, line) if line.starts_with("location ") => current = Some((line, Vec::new())),
            (None, line) => outside.push(line),
            (Some(_), "}") => locations.extend(current.take()),
            (Some((_, lines)), line) => lines.push(line),
        }
    }
    (outside, locations)
}

#[test]
fn all_bodies_that_the_gateway_takes_at_one_moment_fit_into_its_temporary_space() {
    let (outside, locations) = locations();
    // A body is one file, and takes whole pages.
    let space = |places: &str, size: &str| places.parse::<u64>().unwrap() * (bytes(size) + 4_096);
    let mut needed = space(value(&outside, "limit_conn        all"), value(&outside, "client_max_body_size"));
    let mut large = Vec::new();
    for (name, lines) in &locations {
        // It only answers: bodies are thrown away there.
        if lines.contains(&"internal;") {
            continue;
        }
        if !lines.iter().any(|line| line.starts_with("client_max_body_size")) {
            assert!(
                !lines.iter().any(|line| line.starts_with("limit_conn ")),
                "{name} loses the limit on all"
            );
            continue;
        }
        let all = lines.iter().find_map(|line| line.strip_prefix("limit_conn ")?.split_once("_all "));
        let places = all.unwrap_or_else(|| panic!("{name} has no limit on all")).1.trim_end_matches(';');
        needed += space(places, value(lines, "client_max_body_size"));
        large.push(*name);
    }
    assert_eq!(large, ["location = /api/v1/conversions/bulk {", "location = /api/v1/reconciliations {"]);
    let gateway = &COMPOSE[COMPOSE.find("\n  gateway:").unwrap()..];
    let tmpfs = gateway.split_once("- /tmp:size=").unwrap().1.split([',', '\n']).next().unwrap();
    assert!(needed <= bytes(tmpfs), "{needed} bytes do not fit into {tmpfs}");
    // What lies in a tmpfs counts as the container's memory.
    let memory = gateway.split_once("mem_limit: ").unwrap().1.split_whitespace().next().unwrap();
    assert!(bytes(memory) >= bytes(tmpfs) + (512 << 20), "{memory} beside {tmpfs}");
}

/// The services of compose.yaml by name, each with its lines.
fn services() -> Vec<(&'static str, Vec<&'static str>)> {
    let after = COMPOSE.split_once("\nservices:\n").unwrap().1;
    let text = after.split("\n\n# Files of").next().unwrap();
    let mut services: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')) {
            Some(name) if !name.starts_with(' ') => services.push((name, Vec::new())),
            _ => services.last_mut().into_iter().for_each(|(_, lines)| lines.push(line.trim())),
        }
    }
    services
}

#[test]
fn every_container_is_confined_has_limits_and_an_image_of_one_version() {
    let confined = &COMPOSE[COMPOSE.find("x-confined:").unwrap()..COMPOSE.find("\nservices:").unwrap()];
    for wanted in
        ["read_only: true", "cap_drop:\n    - ALL", "no-new-privileges:true", "cpus:", "max-size:", "core: 0"]
    {
        assert!(confined.contains(wanted), "{wanted}");
    }
    let services = services();
    assert_eq!(
        services.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["migrate", "conversiond", "postgres", "gateway"]
    );
    for (name, lines) in &services {
        let has = |wanted: &str| lines.iter().any(|line| line.starts_with(wanted));
        for wanted in ["<<: *confined", "mem_limit: ", "pids_limit: ", "image: "] {
            assert!(has(wanted), "{name}: {wanted}");
        }
        for unwanted in
            ["privileged", "cap_add", "network_mode", "- /var/run/docker.sock", "read_only: false"]
        {
            assert!(!has(unwanted), "{name}: {unwanted}");
        }
        let image = lines.iter().find_map(|line| line.strip_prefix("image: ")).unwrap();
        let given = image.split_once(":-").map_or(image, |(_, default)| default.trim_end_matches('}'));
        let version = given.split_once(':').map(|(_, tag)| tag.split('-').next().unwrap());
        let dots = version.map_or(0, |version| version.matches('.').count());
        // Ours is built here.
        assert!(given == "conversiond" || dots >= 1 && !given.contains("latest"), "{name}: {image}");
    }
}

#[test]
fn no_secret_stands_in_an_environment_and_each_is_a_file_that_the_script_makes() {
    let script = include_str!("../../config/compose/make-secrets.sh");
    for line in COMPOSE.lines() {
        let line = line.trim();
        for name in ["PASSWORD:", "MASTER_KEY:", "SECRET:"] {
            assert!(!line.contains(name), "{line}");
        }
        if let Some(file) = line.strip_prefix("file: ./secrets/") {
            let made = ["migrate", "serve"]
                .iter()
                .fold(script.to_owned(), |text, role| text + &script.replace("$role", role));
            assert!(
                made.contains(&format!("keep {file} ")) || made.contains(&format!("keep \"{file}\" ")),
                "{file}"
            );
        }
    }
    // The superuser's password and the master key never meet in one container.
    for (name, lines) in services() {
        let holds = |file: &str| lines.contains(&format!("- {file}").as_str());
        assert!(!(holds("master-key") && holds("postgres-password")), "{name}");
    }
}

#[test]
fn the_service_and_the_database_have_no_way_out() {
    let networks = COMPOSE.split_once("\nnetworks:\n").unwrap().1;
    let internal: Vec<&str> = ["edge", "inner", "data"]
        .into_iter()
        .filter(|name| {
            let after = networks.split_once(&format!("  {name}:")).unwrap().1;
            after.lines().nth(1).is_some_and(|line| line.trim() == "internal: true")
        })
        .collect();
    assert_eq!(internal, ["inner", "data"]);
    for (name, lines) in services() {
        let in_edge = lines.iter().any(|line| line.starts_with("edge:") || *line == "- edge");
        let published = lines.iter().any(|line| line.starts_with("ports:"));
        assert_eq!((in_edge, published), (name == "gateway", name == "gateway"), "{name}");
    }
}
