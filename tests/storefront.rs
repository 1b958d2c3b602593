//! The storefront keeps what it promises: users are answered, the books add up, and nothing is left behind.

use std::{collections::BTreeMap, env, fs, net::TcpStream, path::Path, process::Command};

/// What the last line says, by name.
fn summary(line: &str) -> BTreeMap<&str, u64> {
    let counts = line.strip_prefix("summary: ").unwrap_or_else(|| panic!("no summary: {line:?}"));
    counts
        .split(' ')
        .map(|count| {
            let (name, count) = count.split_once('=').expect("name=count");
            (name, count.parse().expect("a count"))
        })
        .collect()
}

/// The ports of everything that it says to have started.
fn ports(output: &str) -> Vec<u16> {
    let mut ports: Vec<u16> = output
        .split("http://127.0.0.1:")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The example's program. Cargo builds it with all tests; where only this one was asked for it may be missing or old.
fn storefront() -> Command {
    // target/debug/deps/storefront-0123 is this test.
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("it is in the target directory");
    let program = target.join("examples/storefront");
    if !is_up_to_date(&program) {
        let cargo = env::var_os("CARGO").expect("cargo runs the tests");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--example", "storefront"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().expect("cargo starts").success(), "the storefront cannot be built");
    }
    Command::new(program)
}

/// Whether no source is newer than the program; cargo lists them beside it: `program: source source`.
fn is_up_to_date(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let Some((built, sources)) = changed(program).zip(fs::read_to_string(program.with_extension("d")).ok())
    else {
        return false;
    };
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources).replace("\\ ", "\0");
    sources.split_whitespace().all(|source| {
        let source = source.replace('\0', " ");
        changed(Path::new(&source)).is_some_and(|changed| changed <= built)
    })
}

#[test]
fn users_are_answered_whatever_happens_to_the_services() {
    let ended = storefront().args(["--for", "15s"]).output().expect("it starts");
    let output = String::from_utf8(ended.stdout).expect("it prints text");
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}\n{output}\n{errors}", ended.status);
    assert_eq!(errors, "", "it complains of nothing");

    let counts = summary(output.lines().last().expect("it prints something"));
    let of = |name: &str| counts.get(name).copied().unwrap_or_else(|| panic!("no {name} in {counts:?}"));
    let answered = of("fresh") + of("cached") + of("stale") + of("fallback");
    assert_eq!(of("unanswered"), 0, "{output}");
    assert_eq!(of("calls"), answered + of("failed") + of("unanswered"), "{output}");
    assert!(of("calls") >= 2_000, "the load is about 200 calls a second\n{output}");
    assert!(answered * 100 >= of("calls") * 99, "{output}");
    for origin in ["fresh", "cached", "stale", "fallback"] {
        assert!(of(origin) > 0, "no answer was {origin}\n{output}");
    }

    for event in
        ["SIGKILL", "SIGSTOP", "800 ms", "answers 500", "breaker opened", "breaker closed", "panicked"]
    {
        assert!(output.contains(event), "nothing of {event:?} is told\n{output}");
    }
    let ports = ports(&output);
    assert_eq!(ports.len(), 4, "the shop and three services\n{output}");
    for port in ports {
        let connected = TcpStream::connect(("127.0.0.1", port));
        assert!(connected.is_err(), "something of it still listens on port {port}");
    }
}

#[test]
fn what_it_cannot_do_it_says() {
    for (arguments, complaint) in [
        (&["--for", "soon"][..], "--for soon"),
        (&["--for", "1s"], "5s at least"),
        (&["--sell"], "usage: storefront"),
        (&["downstream", "orders", "0"], "no service \"orders\""),
    ] {
        let ended = storefront().args(arguments).output().expect("it starts");
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && errors.contains(complaint), "{arguments:?}: {errors:?}");
    }
}
