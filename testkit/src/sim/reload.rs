use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use seawall::Runtime;
use tokio::time::sleep;

use super::{log::Step, plan::Change, run::Run};

/// Reloads as planned; how often well, and how often not.
pub(super) async fn reload(run: Arc<Run>, runtime: Runtime, files: Files) -> (u64, u64) {
    let (mut changes, mut good, mut bad) = (Vec::new(), 0, 0);
    for reload in &run.plan.reloads {
        sleep(reload.at.saturating_sub(run.log.elapsed())).await;
        let is_mistake = matches!(reload.change, Change::Mistake(_));
        changes.push(reload.change.clone());
        files.write(&run.plan.toml(&changes));
        if is_mistake {
            changes.pop();
        }
        let result = runtime.reload();
        run.log.add(run.plan.services.len(), Step::Reloaded(result.is_ok()));
        match (result, is_mistake) {
            (Ok(_), false) => good += 1,
            (Err(_), true) => bad += 1,
            (Ok(_), true) => run.violations.add("I8", format_args!("{:?} was not refused", reload.change)),
            (Err(error), false) => {
                run.violations.add("I8", format_args!("{:?} was refused: {error}", reload.change));
            }
        }
    }
    (good, bad)
}

/// A directory of settings of the run's own, gone with it.
pub(super) struct Files(PathBuf);

static DIRECTORIES: AtomicU64 = AtomicU64::new(0);

impl Files {
    pub(super) fn new() -> io::Result<Self> {
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("seawall-sim-{}-{number}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, settings: &str) {
        fs::write(self.0.join("default.toml"), settings)
            .unwrap_or_else(|error| panic!("{}: {error}", self.0.display()));
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Nobody is helped by a run that fails for what it leaves behind.
        let _ = fs::remove_dir_all(&self.0);
    }
}
