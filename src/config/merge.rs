use config::{Map, Source, Value, ValueKind};

/// Merges tables, the strongest last: table by table, anything else whole.
pub(super) fn merge(tables: impl IntoIterator<Item = Map<String, Value>>) -> Map<String, Value> {
    // Not by a `Config`: it lays what it has collected into itself by paths, so that `"a.b"` became a table, and tables
    // forgot where they are written.
    let sources: Vec<Box<dyn Source + Send + Sync>> =
        tables.into_iter().map(|table| Box::new(Layer(table)) as Box<_>).collect();
    // A source of ours never fails.
    sources.collect().unwrap_or_default()
}

#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }

    fn collect_to(&self, cache: &mut Value) -> Result<(), config::ConfigError> {
        if !matches!(cache.kind, ValueKind::Table(_)) {
            cache.kind = ValueKind::Table(Map::new());
        }
        if let ValueKind::Table(table) = &mut cache.kind {
            overlay(table, &self.0);
        }
        Ok(())
    }
}

/// Lays one table over another. A table that is in both counts as written where the stronger one is.
fn overlay(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        let merged = match (under.remove(key).map(|under| under.kind), &value.kind) {
            (Some(ValueKind::Table(mut under)), ValueKind::Table(over))
                if !(is_reference(&under) && is_reference(over)) =>
            {
                overlay(&mut under, over);
                Value::new(value.origin().map(str::to_owned).as_ref(), under)
            }
            _ => value.clone(),
        };
        under.insert(key.clone(), merged);
    }
}

/// Whether a table refers to a secret. Of two, one replaces the other: merged they would name two places.
fn is_reference(table: &Map<String, Value>) -> bool {
    table.len() == 1 && (table.contains_key("env") || table.contains_key("file"))
}

/// What of a layer does not count, now that it is merged.
pub(super) fn beaten(layer: Map<String, Value>, merged: &Map<String, Value>) -> Map<String, Value> {
    let mut left = Map::new();
    for (key, value) in layer {
        let origin = value.origin().map(str::to_owned);
        let counts = merged.get(&key);
        let kind = match (value.kind, counts.map(|value| &value.kind)) {
            (ValueKind::Table(table), Some(ValueKind::Table(merged))) => {
                let table = beaten(table, merged);
                if table.is_empty() {
                    continue;
                }
                ValueKind::Table(table)
            }
            (kind, _) if counts.and_then(Value::origin) != origin.as_deref() => kind,
            _ => continue,
        };
        left.insert(key, Value::new(origin.as_ref(), kind));
    }
    left
}
