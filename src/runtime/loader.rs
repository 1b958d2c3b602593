use std::{collections::BTreeMap, env, path::PathBuf};

use super::Registry;
use crate::{
    config::{ConfigErrors, Layers, Names},
    downstream::Extensions,
};

/// Where settings come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Nowhere,
    Directory(PathBuf),
    Text(String),
}

/// Loads the settings, at the start and at each reload.
pub(super) struct Loader {
    pub(super) origin: Origin,
    pub(super) registry: Registry,
    pub(super) extensions: BTreeMap<String, Extensions>,
    pub(super) variables: Vec<(String, String)>,
}

impl Loader {
    /// All settings, and what is wrong with them already.
    ///
    /// # Errors
    /// If nothing that they say can be judged.
    pub(super) fn layers(&self) -> Result<(Layers, ConfigErrors), ConfigErrors> {
        self.origin.layers(&self.registry, &self.variables)
    }
}

impl Origin {
    fn layers(
        &self,
        registry: &Registry,
        set: &[(String, String)],
    ) -> Result<(Layers, ConfigErrors), ConfigErrors> {
        // What is not UTF-8 is passed on mangled, and refused by that: were it left out, nobody would be told.
        let variables = env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            // Of two with one name the later stands.
            .chain(set.iter().cloned());
        self.read(variables, &registry.names())
    }

    /// Reads the files alone.
    pub(super) fn files(&self) -> Result<(), ConfigErrors> {
        self.read(std::iter::empty(), &Names::default()).map(drop)
    }

    fn read(
        &self,
        variables: impl Iterator<Item = (String, String)>,
        names: &Names,
    ) -> Result<(Layers, ConfigErrors), ConfigErrors> {
        match self {
            Self::Nowhere => Layers::parse_all("", variables, names),
            Self::Text(text) => Layers::parse_all(text, variables, names),
            Self::Directory(directory) => {
                let environment = env::var_os("SEAWALL_ENV").map(|name| name.to_string_lossy().into_owned());
                Layers::load_all(directory, environment.as_deref(), variables, names)
            }
        }
    }
}
