//! Derive macros of seawall and its kinds.
//!
//! They stand in a crate of their own because they must; what they mean is documented where they are used:
//! `seawall::Services` and `seawall_http::HttpCall`. A derive finds all mistakes it can in one run, each at its place
//! in the source, and says what to write instead.

mod errors;
mod http;
mod services;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a call of an HTTP service. See `seawall_http::HttpCall`.
#[proc_macro_derive(HttpCall, attributes(http))]
pub fn http_call(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    http::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the set of services that a program uses, each a field, bound by the field's name.
///
/// ```ignore
/// #[derive(Services)]
/// struct Downstreams {
///     #[service(calls(GetUser, PutUser))]
///     users: Service<Http>,
///     #[service(name = "orders-v2")]
///     orders: Service<Postgres>,
/// }
/// ```
///
/// `calls(..)` registers call types with the service, so that settings and metrics know them by name before the first
/// call; `name` is the service's name in the settings where it is not the field's.
#[proc_macro_derive(Services, attributes(service))]
pub fn services(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    services::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
