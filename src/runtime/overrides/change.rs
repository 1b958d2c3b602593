//! How overrides begin and end. Each change holds the services to write, so that no two happen at once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    MOST_OVERRIDES, Override, OverrideError,
    in_force::{Entry, lay},
};
use crate::{
    config::{ConfigErrors, Layers, Origin, join, split, unknown},
    runtime::{
        Inner,
        kind::{Owned, Owning, Settings},
    },
    supervise::{Adopt, Alarm},
    telemetry::{Ended, What},
};

/// When the end of an override is tried again that could not be put in force.
const AGAIN: Duration = Duration::from_secs(60);

/// Puts an override in force.
pub(super) fn set(
    inner: &Arc<Inner>,
    path: &str,
    mut entry: Entry,
    lasting: Duration,
) -> Result<Override, OverrideError> {
    let services = inner.services.write();
    expire(inner, &services);
    let (owned, keys) = target(&services, path).map_err(|message| {
        let mut errors = ConfigErrors::new();
        errors.add(Origin::Override(entry.about.origin()), path, message);
        errors
    })?;
    entry.about.key = keys.iter().fold(String::new(), |key, name| join(&key, name));
    entry.keys = keys;
    let about = entry.about.clone();
    let (base, mut entries) = current(inner);
    entries.retain(|before| before.keys != entry.keys);
    if entries.len() >= MOST_OVERRIDES {
        return Err(OverrideError::TooMany);
    }
    entries.push(entry);
    let settings = judge(inner, &**owned, &base, of(&entries, owned.name()))?;
    put_in_force(inner, owned, settings);
    inner.in_force.lock().entries = entries;
    arm(inner);
    let what = What::OverrideSet {
        key: about.key.as_str().into(),
        value: about.value.as_str().into(),
        by: about.by.as_str().into(),
        because: about.because.as_str().into(),
        lasting,
    };
    inner.environment.events.emit(Some(owned.name()), what);
    Ok(about)
}

/// Ends an override that somebody wants no more.
pub(super) fn unset(inner: &Arc<Inner>, path: &str) -> Result<Override, OverrideError> {
    let services = inner.services.write();
    expire(inner, &services);
    let (base, mut entries) = current(inner);
    let keys = keys(&services, path);
    let Some(at) = entries.iter().position(|entry| keys.as_ref() == Some(&entry.keys)) else {
        let known = entries.iter().map(|entry| entry.about.key.as_str());
        return Err(OverrideError::NotSet(unknown("override", path, known)));
    };
    let ended = entries.remove(at);
    if let Some(owned) = services.get(ended.keys[1].as_str()) {
        let settings = judge(inner, &**owned, &base, of(&entries, owned.name()))?;
        put_in_force(inner, owned, settings);
    }
    inner.in_force.lock().entries = entries;
    arm(inner);
    tell(inner, &ended, Ended::Unset);
    Ok(ended.about)
}

/// Ends what is due, and waits for the next that will be.
pub(in crate::runtime) fn expire(inner: &Arc<Inner>, services: &Owned) {
    let now = Instant::now();
    let (base, mut entries) = current(inner);
    let of_whom = |entry: &Entry| entry.keys[1].clone();
    let affected: BTreeSet<String> = entries.iter().filter(|entry| entry.ends <= now).map(of_whom).collect();
    if affected.is_empty() {
        return;
    }
    let mut ended = Vec::new();
    for service in affected {
        let Some(owned) = services.get(service.as_str()) else { continue };
        let left: Vec<Entry> =
            of(&entries, &service).into_iter().filter(|entry| entry.ends > now).cloned().collect();
        match standing(inner, &**owned, &base, left) {
            Ok((settings, fallen)) => {
                put_in_force(inner, owned, settings);
                entries.retain(|entry| {
                    let cause = if !entry.is_of(&service) {
                        None
                    } else if entry.ends <= now {
                        Some(Ended::Time)
                    } else {
                        fallen.contains(&entry.keys).then_some(Ended::Contradicts)
                    };
                    ended.extend(cause.map(|cause| (entry.clone(), cause)));
                    cause.is_none()
                });
            }
            // The files were right when they were read, and are not now: a secret that they refer to is gone.
            Err(errors) => {
                inner
                    .environment
                    .events
                    .emit(Some(owned.name()), What::ReloadRefused { errors: errors.to_string().into() });
                let due = entries.iter_mut().filter(|entry| entry.is_of(&service) && entry.ends <= now);
                due.for_each(|entry| entry.ends = now + AGAIN);
            }
        }
    }
    inner.in_force.lock().entries = entries;
    arm(inner);
    ended.iter().for_each(|(entry, cause)| tell(inner, entry, *cause));
}

/// Other files are in force: overrides of services that they do not have end.
pub(in crate::runtime) fn reloaded(inner: &Arc<Inner>, base: Layers) {
    let services = base.services();
    let mut in_force = inner.in_force.lock();
    in_force.base = base;
    let (kept, gone) = std::mem::take(&mut in_force.entries)
        .into_iter()
        .partition(|entry| services.iter().any(|service| entry.is_of(service)));
    in_force.entries = kept;
    drop(in_force);
    arm(inner);
    let gone: Vec<Entry> = gone;
    gone.iter().for_each(|entry| tell(inner, entry, Ended::ServiceRemoved));
}

fn current(inner: &Inner) -> (Layers, Vec<Entry>) {
    let in_force = inner.in_force.lock();
    (in_force.base.clone(), in_force.entries.clone())
}

/// The overrides of one service.
fn of<'a>(entries: &'a [Entry], service: &str) -> Vec<&'a Entry> {
    entries.iter().filter(|entry| entry.is_of(service)).collect()
}

/// Judges a service under these overrides.
fn judge<'a>(
    inner: &Inner,
    owned: &dyn Owning,
    base: &Layers,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<Settings, ConfigErrors> {
    let layers = lay(base, entries)?;
    let mut errors = ConfigErrors::new();
    // A service that there is, is of a kind that is known.
    let kind = &inner.kinds[owned.kind()];
    let settings = kind.judge(&layers, owned.name(), &inner.loader, &owned.state().made(), &mut errors);
    match settings {
        Some(settings) if errors.is_empty() => Ok(settings),
        _ => Err(errors),
    }
}

/// The settings of a service under those of these overrides that make sense, the oldest first; and the keys of the rest.
fn standing(
    inner: &Inner,
    owned: &dyn Owning,
    base: &Layers,
    entries: Vec<Entry>,
) -> Result<(Settings, BTreeSet<Vec<String>>), ConfigErrors> {
    if let Ok(settings) = judge(inner, owned, base, &entries) {
        return Ok((settings, BTreeSet::new()));
    }
    let mut settings = judge(inner, owned, base, [])?;
    let (mut kept, mut fallen) = (Vec::new(), BTreeSet::new());
    for entry in entries {
        kept.push(entry);
        match judge(inner, owned, base, &kept) {
            Ok(judged) => settings = judged,
            Err(_) => fallen.extend(kept.pop().map(|entry| entry.keys)),
        }
    }
    Ok((settings, fallen))
}

fn put_in_force(inner: &Inner, owned: &Arc<dyn Owning>, settings: Settings) {
    owned.reload(settings);
    inner.supervisor.do_send(Adopt(Arc::clone(owned).supervised()));
    inner.environment.generation.add_one();
}

/// Has what is due ended when the first of all is: after each change, since it takes the place of the last time that this
/// was asked for, and whoever was waited for may be gone.
fn arm(inner: &Arc<Inner>) {
    let Some(next) = inner.in_force.lock().entries.iter().map(|entry| entry.ends).min() else { return };
    let weak = Arc::downgrade(inner);
    let work = move || {
        if let Some(inner) = weak.upgrade() {
            let services = inner.services.write();
            expire(&inner, &services);
        }
    };
    let after = next.saturating_duration_since(Instant::now());
    inner.supervisor.do_send(Alarm { after, work: Box::new(work) });
}

fn tell(inner: &Inner, entry: &Entry, cause: Ended) {
    let about = &entry.about;
    let what = What::OverrideExpired { key: about.key.as_str().into(), by: about.by.as_str().into(), cause };
    let service: Arc<str> = entry.keys[1].as_str().into();
    inner.environment.events.emit(Some(&service), what);
}

/// The keys that a path means, from the root of all settings.
fn keys(services: &Owned, path: &str) -> Option<Vec<String>> {
    let mut keys = split(path)?;
    if keys[0] != "services" || services.contains_key("services") {
        keys.insert(0, "services".to_owned());
    }
    Some(keys)
}

/// The service that a path is about, and the keys that it means.
///
/// # Errors
/// Why nothing of this path can be overridden.
fn target<'a>(services: &'a Owned, path: &str) -> Result<(&'a Arc<dyn Owning>, Vec<String>), String> {
    let keys = keys(services, path).ok_or(
        "this is no path of a setting: keys are separated by dots, and one that has a dot is quoted, as in \
         `\"a.b\".timeout`",
    )?;
    let (service, within): (&str, Vec<&str>) = match &keys[..] {
        [_, service, within @ ..] => (service, within.iter().map(String::as_str).collect()),
        _ => return Err("it names no service; write `users.timeout`".to_owned()),
    };
    let Some(owned) = services.get(service) else {
        return Err(match service {
            "runtime" | "telemetry" => {
                format!("`{service}` is read once, at the start; only a service's settings can be overridden")
            }
            "defaults" | "kinds" => format!(
                "`{service}` is for files; an override is of one service, so that it is known whom it meets"
            ),
            _ => unknown("service", service, services.keys().map(Arc::as_ref)),
        });
    };
    match within[..] {
        [] => {
            return Err(format!("it names a whole service; name a setting in it, such as `{path}.timeout`"));
        }
        ["kind" | "startup", ..] => {
            return Err(format!(
                "`{}` is read when the service is made; to override it changes nothing",
                within[0]
            ));
        }
        ["calls"] => return Err(format!("it names no call; write `{path}.GetReport.timeout`")),
        ["calls", _] => {
            return Err(format!("it names a whole call; name a setting in it, such as `{path}.timeout`"));
        }
        ["calls", call, ..] => {
            let known = owned.known_calls();
            if !known.iter().any(|known| known == call) {
                return Err(unknown("call", call, known.iter().map(String::as_str)));
            }
        }
        _ => {}
    }
    Ok((owned, keys))
}
