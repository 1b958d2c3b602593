//! `derive(HttpCall)`: a struct whose fields each have a place in a request.
//!
//! [`attributes`] reads what is written at the struct, [`place`] what is written at its fields, and finds a place for
//! each; [`template`] reads paths and tags; [`expand`] writes the implementation of `Call`.

mod attributes;
mod cache;
mod duration;
mod expand;
mod place;
mod reply;
mod template;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::errors::{Errors, named_fields};

/// # Errors
/// All mistakes that can be told from the struct alone.
pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input, "an HTTP call")?;
    let mut errors = Errors::default();
    let attributes = errors.take(attributes::read(input));
    let places = attributes.as_ref().map(|attributes| place::find(fields, attributes, &mut errors));
    errors.finish()?;
    match (attributes, places) {
        (Some(attributes), Some(places)) => Ok(expand::expand(input, fields, &attributes, &places)),
        // `finish` has told why there are none.
        _ => Ok(TokenStream::new()),
    }
}
