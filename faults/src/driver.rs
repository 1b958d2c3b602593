//! Plays scenarios, each in a process of its own, and prints what came of them.

use std::env;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::catalog;
use crate::harness::Scenario;
use crate::harness::again::{CHECK, DONE, PLAY};
use crate::harness::report::Check;
use crate::harness::settings::CANARY;
use crate::harness::stage::Company;
use crate::harness::times::now;
use crate::options::{HELP, Options, Show};

/// Scenarios whose figures are no times are played beside each other.
const BESIDE: usize = 2;

/// What came of one scenario in one run.
struct Played {
    took: Duration,
    checks: Vec<Check>,
    /// Why it could not be judged, and what it said.
    broken: Option<String>,
}

/// Plays what was asked for.
///
/// # Errors
/// When no process can be started.
pub(crate) fn run(options: &Options) -> Result<ExitCode, String> {
    let scenarios = catalog::all();
    match options.show {
        Some(Show::Help) => print!("{HELP}"),
        Some(Show::List) => {
            for scenario in &scenarios {
                println!("{:<9} {}", scenario.id, scenario.title);
            }
        }
        None => return play(&scenarios, options),
    }
    Ok(ExitCode::SUCCESS)
}

fn play(scenarios: &[Scenario], options: &Options) -> Result<ExitCode, String> {
    let form = if options.full { "full" } else { "quick" };
    println!("{} scenarios in their {form} form, seed {}", options.ids.len(), options.seed);
    let wanted = |alone: bool| -> Vec<&Scenario> {
        let by_id = options.ids.iter().filter_map(|id| scenarios.iter().find(|scenario| scenario.id == *id));
        by_id.filter(|scenario| (scenario.company != Company::Beside) == alone).collect()
    };
    let (passed, failed, again) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let printing = Mutex::new(());
    let judge = |scenario: &Scenario| {
        let holds = |seed: u64| {
            let played = one(scenario, seed, options.full);
            let _one_at_a_time = printing.lock();
            tell(scenario, &played, seed, options)
        };
        let held = (0..options.runs).all(|run| {
            let seed = options.seed.wrapping_add(run);
            let held = holds(seed);
            let later = !held && (0..options.again).any(|_| holds(seed));
            again.fetch_add(usize::from(later), Ordering::Relaxed);
            held || later
        });
        (if held { &passed } else { &failed }).fetch_add(1, Ordering::Relaxed);
    };

    let beside = wanted(false);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..BESIDE {
            scope.spawn(|| {
                while let Some(scenario) = beside.get(next.fetch_add(1, Ordering::Relaxed)) {
                    judge(scenario);
                }
            });
        }
    });
    wanted(true).into_iter().for_each(judge);

    let (passed, failed, again) = (passed.into_inner(), failed.into_inner(), again.into_inner());
    if again > 0 {
        println!("\n{again} held only when they were played again");
    }
    println!("\n{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays one scenario once.
fn one(scenario: &Scenario, seed: u64, full: bool) -> Played {
    let started = now();
    let limit = match (scenario.company, full) {
        (Company::OnRequest, _) => Duration::from_secs(3_600),
        (_, true) => Duration::from_secs(600),
        (_, false) => Duration::from_secs(90),
    };
    let canary = format!("canary-{seed}-must-be-seen-nowhere");
    let (output, errors, ended) = match player(scenario, seed, full, &canary, started + limit) {
        Ok(ended) => ended,
        Err(error) => {
            return Played { took: started.elapsed(), checks: Vec::new(), broken: Some(error.to_string()) };
        }
    };
    let took = now().saturating_duration_since(started);
    let mut checks: Vec<Check> =
        output.lines().filter_map(|line| serde_json::from_str(line.strip_prefix(CHECK)?).ok()).collect();
    let shown = output.contains(&canary) || errors.contains(&canary);
    checks.push(Check {
        name: "I9 secrets on its output".to_owned(),
        held: !shown,
        figure: usize::from(shown).to_string(),
        bound: "= 0".to_owned(),
        general: true,
    });
    let finished = output.lines().any(|line| line == DONE);
    let broken = (ended != Some(0) || !finished).then(|| {
        let how = ended.map_or_else(
            || format!("it was ended, by a signal or after {} s", limit.as_secs()),
            |code| format!("it ended with exit code {code}"),
        );
        let said: Vec<_> = errors.lines().map(|line| format!("\n         | {line}")).collect();
        how + &said[said.len().saturating_sub(12)..].concat()
    });
    Played { took, checks, broken }
}

/// Its output, its error output, and its exit code.
fn player(
    scenario: &Scenario,
    seed: u64,
    full: bool,
    canary: &str,
    until: Instant,
) -> std::io::Result<(String, String, Option<i32>)> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(PLAY).arg(scenario.id).arg(seed.to_string()).arg(if full { "full" } else { "quick" });
    command.env(CANARY, canary).env_remove("RUST_BACKTRACE");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let outputs = [child.stdout.take().map(reading), child.stderr.take().map(reading)];
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if now() > until {
            child.kill()?;
            break child.wait()?;
        }
        // This thread has nothing else to do, and no runtime.
        #[allow(clippy::disallowed_methods)]
        thread::sleep(Duration::from_millis(20));
    };
    let [output, errors] =
        outputs.map(|thread| thread.and_then(|thread| thread.join().ok()).unwrap_or_default());
    Ok((output, errors, status.code()))
}

fn reading(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came until then is what there is.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Prints a row, and says whether all of it held.
fn tell(scenario: &Scenario, played: &Played, seed: u64, options: &Options) -> bool {
    let Played { took, checks, broken } = played;
    let held = broken.is_none() && checks.iter().all(|check| check.held);
    let word = if held { "held" } else { "FAILED" };
    println!("{:<9} {word:<6} {:>5.1} s  {}", scenario.id, took.as_secs_f64(), scenario.title);
    for check in checks {
        let Check { name, figure, bound, .. } = check;
        match check.held {
            true if check.general && !options.verbose => {}
            true => println!("       {name}: {figure} ({bound})"),
            false => println!("     ! {name}: {figure}, and was to be {bound}"),
        }
    }
    if let Some(broken) = broken {
        println!("     ! not judged: {broken}");
    }
    if !held {
        let full = if options.full { " --full" } else { "" };
        println!("     ! again with: cargo xtask faults {} --seed {seed}{full}", scenario.id);
    }
    held
}
