//! What all scenarios share: the services under test, the load on them, the truth of what reached the servers, and the
//! rules that hold in every scenario.

pub(crate) mod again;
pub(crate) mod bed;
pub(crate) mod calls;
pub(crate) mod hostile;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod machine;
pub(crate) mod monitor;
pub(crate) mod origin;
pub(crate) mod panics;
pub(crate) mod random;
pub(crate) mod report;
pub(crate) mod resources;
pub(crate) mod rules;
pub(crate) mod serve;
pub(crate) mod settings;
pub(crate) mod stage;
pub(crate) mod store;
pub(crate) mod times;

pub(crate) use bed::{Bed, Outcome};
pub(crate) use calls::{Change, Echo, Get, Keyed, Shared, Write};
pub(crate) use hostile::Hostile;
pub(crate) use load::Via;
pub(crate) use origin::{Manner, Origin};
pub(crate) use report::Report;
pub(crate) use rules::Rules;
pub(crate) use settings::Settings;
pub(crate) use stage::{Scenario, Stage};
pub(crate) use store::Store;
