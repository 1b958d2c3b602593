//! The storefront keeps what it promises: users are answered, the books add up, and nothing is left behind.

mod support;

use std::{collections::BTreeMap, net::TcpStream, time::Duration};

use seawall_testkit::Process;
use support::example;
use tokio::time::timeout;

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

#[test]
fn users_are_answered_whatever_happens_to_the_services() {
    let ended = example("storefront").args(["--for", "15s"]).output().expect("it starts");
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
        assert!(!listens(port), "something of it still listens on port {port}");
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Starts it, and waits for a line with `event`: the process, and the ports of everything that it has started.
async fn until(event: &str) -> (Process, Vec<u16>) {
    let process = Process::spawn(example("storefront").args(["--for", "15s"]));
    let mut ports = Vec::new();
    for line in ["/health", "(users", "(prices", "(reviews"] {
        ports.extend(self::ports(&process.wait_for_line(line).await));
    }
    process.wait_for_line(event).await;
    (process, ports)
}

#[tokio::test]
async fn a_signal_ends_it_with_a_summary_and_its_services_too() {
    let (process, ports) = until("SIGSTOP").await; // one of them is frozen
    process.terminate();
    assert!(process.wait_for_exit().await.success());
    let line = process.wait_for_line("summary: ").await;
    assert!(summary(&line)["calls"] > 0, "{line}");
    assert!(ports.iter().all(|port| !listens(*port)), "something of it still listens");
}

#[tokio::test]
async fn its_services_do_not_outlive_it_even_where_it_is_killed() {
    let (process, ports) = until("curl").await;
    assert!(ports.iter().all(|port| listens(*port)));
    process.kill();
    let gone = async {
        while ports.iter().any(|port| listens(*port)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.expect("a service of it goes on");
}

#[test]
fn what_it_cannot_do_it_says() {
    for (arguments, complaint) in [
        (&["--for", "soon"][..], "--for soon"),
        (&["--for", "1s"], "5s at least"),
        (&["--sell"], "usage: storefront"),
        (&["downstream", "orders", "0"], "no service \"orders\""),
    ] {
        let ended = example("storefront").args(arguments).output().expect("it starts");
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && errors.contains(complaint), "{arguments:?}: {errors:?}");
    }
}
