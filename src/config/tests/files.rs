use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use insta::assert_snapshot;

use super::{settings::PerCall, *};

/// A directory that is gone when the test is.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("seawall-config-{}-{count}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn load(&self, environment: Option<&str>) -> Result<Layers, ConfigErrors> {
        Layers::load(&self.0, environment, [], &names())
    }

    fn wrong(&self, environment: Option<&str>) -> String {
        let errors = self.load(environment).and_then(|layers| read(&layers)).unwrap_err().to_string();
        errors.replace(&self.0.display().to_string(), "DIR")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn later_files_win_table_by_table() {
    let directory = Directory::new();
    directory.write(
        "default.toml",
        "[services.users]\ntimeout = \"1s\"\nhedge = false\nbreaker = { minimum_calls = 1 }",
    );
    directory.write(
        "staging.toml",
        "[services.users]\ntimeout = \"2s\"\nhedge.delay = \"1s\"\nhedge.attempts = 1\nretry = []",
    );
    directory.write("local.toml", "[services.users]\nhedge = false\nbreaker.reset_growth = 5");
    let layers = directory.load(Some("staging")).unwrap();
    let read: PerCall = take(&users(&layers));
    assert_eq!((read.timeout.as_secs(), read.retry.len()), (2, 0));
    let breaker = read.breaker.as_ref().unwrap();
    assert_eq!((breaker.minimum_calls, breaker.reset_growth), (1, 5.0));

    let mut explanation = Explanation::default();
    explanation.add(&users(&layers), &read);
    assert_snapshot!(explanation.to_string().replace(&directory.0.display().to_string(), "DIR"));

    let read: PerCall = take(&users(&directory.load(None).unwrap()));
    assert_eq!(read.timeout.as_secs(), 1, "without an environment its file is not read");
}

#[test]
fn any_one_of_the_files_will_do() {
    let directory = Directory::new();
    directory.write("local.toml", "# nothing yet");
    assert!(directory.load(None).unwrap().services().is_empty());
    assert!(directory.load(Some("local")).is_ok());
    assert!(directory.load(Some("")).is_ok());
}

#[test]
fn what_is_wrong_with_files() {
    let mut told = Vec::new();
    let mut tell = |directory: &Directory, environment| told.push(directory.wrong(environment));
    let empty = Directory::new();
    tell(&empty, None);
    tell(&empty, Some("production"));

    let directory = Directory::new();
    directory.write("default.toml", "[services.users]\ntimeout = 5\n[runtime]\nverbose = 1");
    tell(&directory, Some("production"));
    tell(&directory, Some("../etc/passwd"));
    directory.write("staging.toml", "\n\n[services.users]\ntimout = \"5s\"");
    directory.write("local.toml", "[services.users]\nurl = 1\n[services.users.pool]\nmaxx = 1");
    tell(&directory, Some("staging"));

    directory.write("staging.toml", b"# \xc3\xa9\nurl = \"\xff\"");
    directory.write("local.toml", "");
    fs::remove_file(directory.0.join("default.toml")).unwrap();
    fs::create_dir(directory.0.join("default.toml")).unwrap();
    tell(&directory, Some("staging"));

    directory.write("local.toml", "\u{feff}\n ");
    directory.write("staging.toml", "# x\n".repeat(300_000));
    tell(&directory, Some("staging"));

    // Files that cannot be read make no names unknown.
    let broken = Directory::new();
    broken.write("default.toml", "[services.users");
    let variables = variables(&[("SEAWALL__SERVICES__ORDERS__TIMEOUT", "5s")]);
    let errors = Layers::load(&broken.0, None, variables, &names()).unwrap_err();
    told.push(errors.to_string().replace(&broken.0.display().to_string(), "DIR"));

    let errors = Layers::load(Path::new("no/such/directory"), None, [], &names()).unwrap_err();
    told.push(errors.to_string());
    let file = broken.0.join("default.toml");
    let errors = Layers::load(&file, None, [], &names()).unwrap_err().to_string();
    told.push(errors.replace(&broken.0.display().to_string(), "DIR"));
    assert_snapshot!(told.join("\n\n"));
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_does_not_wait() {
    let directory = Directory::new();
    // A socket is no regular file either, and the standard library can make one.
    let _socket = std::os::unix::net::UnixListener::bind(directory.0.join("default.toml")).unwrap();
    assert!(directory.wrong(None).contains("it is no regular file"));
}
