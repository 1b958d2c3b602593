use syn::{Ident, LitInt, LitStr, Token, meta::ParseNestedMeta, punctuated::Punctuated};

use super::{duration::duration, template::Template};
use crate::errors::unknown;

/// `cache(ttl = "5m", per = tenant, shared, tags("user:{id}"))`: settings as they stand in a call's `[cache]`, tags, and whether
/// replies can be written for other processes.
#[derive(Default)]
pub(super) struct Cache {
    /// Keys and values of TOML.
    pub(super) settings: Vec<(&'static str, String)>,
    pub(super) tags: Vec<Template>,
    /// The version of what is written for other processes, where it is.
    pub(super) shared: Option<u32>,
}

const DURATIONS: [&str; 4] = ["ttl", "stale_while_revalidate", "stale_if_error", "negative_ttl"];
const KNOWN: [&str; 7] =
    ["ttl", "per", "stale_while_revalidate", "stale_if_error", "negative_ttl", "shared", "tags"];
const PER: [&str; 3] = ["service", "tenant", "principal"];

impl Cache {
    /// Reads what follows the word `cache`.
    ///
    /// # Errors
    /// For unknown keys, and values that a file could not have either.
    pub(super) fn read(meta: &ParseNestedMeta<'_>) -> syn::Result<Self> {
        let mut cache = Self::default();
        if meta.input.is_empty() || meta.input.peek(Token![,]) {
            return Ok(cache);
        }
        meta.parse_nested_meta(|meta| {
            let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            if let Some(key) = DURATIONS.into_iter().find(|key| *key == word) {
                let text = duration(&meta.value()?.parse()?)?;
                cache.settings.push((key, text));
            } else if word == "per" {
                let per: Ident = meta.value()?.parse()?;
                let known = PER.into_iter().find(|known| per == known);
                let wrong = || syn::Error::new(per.span(), unknown("sharing", &per.to_string(), &PER));
                cache.settings.push(("per", known.ok_or_else(wrong)?.into()));
            } else if word == "shared" {
                cache.shared = Some(match meta.input.peek(Token![=]) {
                    true => meta.value()?.parse::<LitInt>()?.base10_parse()?,
                    false => 1,
                });
            } else if word == "tags" {
                cache.tags.extend(tags(&meta)?);
            } else {
                return Err(meta.error(unknown("setting of `cache`", &word, &KNOWN)));
            }
            Ok(())
        })?;
        Ok(cache)
    }
}

/// Reads `("user:{id}", "users")`.
pub(super) fn tags(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<Template>> {
    let content;
    syn::parenthesized!(content in meta.input);
    let texts = Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?;
    texts
        .iter()
        .map(|text| match text.value().is_empty() {
            true => Err(syn::Error::new(text.span(), "a tag is not empty")),
            false => Template::read(text),
        })
        .collect()
}
