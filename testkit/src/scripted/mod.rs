//! A downstream that does what a script says: no socket, no thread, so that it runs in virtual time.
//!
//! ```
//! use seawall::Runtime;
//! use seawall_testkit::{Ask, Reaction, Behaviour, Scripted, virtual_time};
//!
//! virtual_time(async || {
//!     let behaviour = Behaviour::new(|_| Reaction::Reply);
//!     let runtime = Runtime::builder()
//!         .kind::<Scripted>()
//!         .extension("users", behaviour.clone())
//!         .parse("[services.users]\nkind = \"scripted\"")
//!         .expect("it is TOML")
//!         .current_thread()
//!         .start()
//!         .await
//!         .expect("its settings are right");
//!     let users = runtime.service::<Scripted>("users").expect("it is there");
//!     assert_eq!(users.send(Ask(7)).await.expect("it answers").id, 7);
//!     assert_eq!(behaviour.attempts(), 1);
//! });
//! ```

mod behaviour;
mod calls;
mod capacity;
mod kind;

pub use behaviour::{Asked, Behaviour, Opening, Reaction};
pub use calls::{Ask, Change, Echo, Lookup};
pub use capacity::Capacity;
pub use kind::{Scripted, ScriptedSettings};
