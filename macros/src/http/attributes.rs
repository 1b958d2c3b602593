use proc_macro2::Span;
use syn::{
    DeriveInput, Ident, Lit, LitBool, LitStr, Token, Type,
    meta::ParseNestedMeta,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use super::{
    cache::{self, Cache},
    duration::duration,
    template::Template,
};
use crate::errors::unknown;

/// What `#[http(..)]` at the struct says.
pub(super) struct Attributes {
    pub(super) method: Method,
    pub(super) path: Template,
    pub(super) reply: Type,
    pub(super) error: Option<Type>,
    pub(super) name: Option<LitStr>,
    pub(super) cache: Option<Cache>,
    pub(super) invalidates: Vec<Template>,
    pub(super) idempotent: Option<bool>,
    pub(super) timeout: Option<String>,
    pub(super) priority: Option<&'static str>,
    pub(super) headers: Vec<Pair>,
    pub(super) query: Vec<Pair>,
    pub(super) body: Option<Ident>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    const ALL: [(&'static str, Self); 5] = [
        ("get", Self::Get),
        ("post", Self::Post),
        ("put", Self::Put),
        ("patch", Self::Patch),
        ("delete", Self::Delete),
    ];

    /// The attribute's word, which is the name of `Request`'s function too.
    pub(super) fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, method)| *method == self).map_or("get", |(word, _)| word)
    }

    pub(super) fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Put | Self::Delete)
    }

    /// Whether a field that nobody placed goes to the query, since there is no body for it.
    pub(super) fn has_query_for_the_rest(self) -> bool {
        matches!(self, Self::Get | Self::Delete)
    }
}

/// `"x-tenant" = tenant` or `"x-version" = "2"`.
pub(super) struct Pair {
    pub(super) name: LitStr,
    pub(super) value: Value,
}

pub(super) enum Value {
    Field(Ident),
    Literal(Lit),
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        let value =
            if input.peek(Lit) { Value::Literal(input.parse()?) } else { Value::Field(input.parse()?) };
        Ok(Self { name, value })
    }
}

const KNOWN: [&str; 16] = [
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "reply",
    "error",
    "name",
    "cache",
    "invalidates",
    "idempotent",
    "timeout",
    "priority",
    "header",
    "query",
    "body",
];
const PRIORITIES: [(&str, &str); 4] =
    [("critical", "Critical"), ("normal", "Normal"), ("low", "Low"), ("background", "Background")];

/// What has been read so far.
#[derive(Default)]
struct Reading {
    method: Option<(Method, Span, Template)>,
    reply: Option<Type>,
    error: Option<Type>,
    name: Option<LitStr>,
    cache: Option<(Span, Cache)>,
    invalidates: Option<(Span, Vec<Template>)>,
    idempotent: Option<bool>,
    timeout: Option<String>,
    priority: Option<&'static str>,
    headers: Vec<Pair>,
    query: Vec<Pair>,
    body: Option<Ident>,
}

/// Reads all `#[http(..)]` at the struct.
///
/// # Errors
/// The first thing wrong in each.
pub(super) fn read(input: &DeriveInput) -> syn::Result<Attributes> {
    let mut reading = Reading::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("http")) {
        attribute.parse_nested_meta(|meta| reading.one(&meta))?;
    }
    reading.whole(input)
}

impl Reading {
    fn one(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        let span = meta.path.get_ident().map_or_else(Span::call_site, Ident::span);
        if let Some((_, method)) = Method::ALL.into_iter().find(|(known, _)| *known == word) {
            let path = Template::path(&meta.value()?.parse()?)?;
            if let Some((first, ..)) = &self.method {
                let message = format!("a call has one method, and this one has `{}` already", first.word());
                return Err(syn::Error::new(span, message));
            }
            self.method = Some((method, span, path));
            return Ok(());
        }
        match word.as_str() {
            "reply" => once(&mut self.reply, meta, || meta.value()?.parse()),
            "error" => once(&mut self.error, meta, || meta.value()?.parse()),
            "name" => once(&mut self.name, meta, || call_name(meta.value()?.parse()?)),
            "timeout" => once(&mut self.timeout, meta, || duration(&meta.value()?.parse()?)),
            "priority" => once(&mut self.priority, meta, || priority(&meta.value()?.parse()?)),
            "body" => once(&mut self.body, meta, || meta.value()?.parse()),
            "cache" => once(&mut self.cache, meta, || Ok((span, Cache::read(meta)?))),
            "invalidates" => once(&mut self.invalidates, meta, || Ok((span, cache::tags(meta)?))),
            "idempotent" => once(&mut self.idempotent, meta, || {
                if meta.input.peek(Token![=]) {
                    Ok(meta.value()?.parse::<LitBool>()?.value)
                } else {
                    Ok(true)
                }
            }),
            "query" => pairs(meta).map(|pairs| self.query.extend(pairs)),
            "header" => {
                let pairs = pairs(meta)?;
                pairs.iter().try_for_each(|pair| header_name(&pair.name))?;
                self.headers.extend(pairs);
                Ok(())
            }
            _ => Err(meta.error(unknown("attribute of an HTTP call", &word, &KNOWN))),
        }
    }

    fn whole(self, input: &DeriveInput) -> syn::Result<Attributes> {
        let missing = |what: &str| Err(syn::Error::new(input.ident.span(), what));
        let Some((method, _, path)) = self.method else {
            return missing(
                "a call needs a method and a path: `#[http(get = \"/users/{id}\", reply = User)]`",
            );
        };
        let reply = match self.reply {
            Some(reply) => reply,
            // Writes often answer nothing that matters; who reads wants to read something.
            None if method != Method::Get => syn::parse_quote!(()),
            None => {
                return missing(
                    "a GET needs a reply: `reply = User`; `reply = ()` where the answer says nothing",
                );
            }
        };
        if let (Some((span, _)), true) = (&self.cache, method != Method::Get) {
            let message = format!(
                "only a GET can be cached, and this is a {}: a cached write would not be made",
                method.word().to_uppercase()
            );
            return Err(syn::Error::new(*span, message));
        }
        if let (Some((span, _)), Method::Get) = (&self.invalidates, method) {
            return Err(syn::Error::new(*span, "a GET changes nothing, so it invalidates nothing"));
        }
        if let (Some(body), Method::Get) = (&self.body, method) {
            return Err(syn::Error::new(body.span(), "a GET has no body; use `#[http(query)]`, or `post`"));
        }
        Ok(Attributes {
            method,
            path,
            reply,
            error: self.error,
            name: self.name,
            cache: self.cache.map(|(_, cache)| cache),
            invalidates: self.invalidates.map(|(_, tags)| tags).unwrap_or_default(),
            idempotent: self.idempotent,
            timeout: self.timeout,
            priority: self.priority,
            headers: self.headers,
            query: self.query,
            body: self.body,
        })
    }
}

fn once<T>(
    slot: &mut Option<T>,
    meta: &ParseNestedMeta<'_>,
    read: impl FnOnce() -> syn::Result<T>,
) -> syn::Result<()> {
    if slot.is_some() {
        return Err(meta.error("written twice"));
    }
    *slot = Some(read()?);
    Ok(())
}

fn pairs(meta: &ParseNestedMeta<'_>) -> syn::Result<Punctuated<Pair, Token![,]>> {
    let content;
    syn::parenthesized!(content in meta.input);
    Punctuated::parse_terminated(&content)
}

fn priority(text: &LitStr) -> syn::Result<&'static str> {
    let value = text.value();
    let found = PRIORITIES.into_iter().find(|(word, _)| *word == value);
    found.map(|(_, variant)| variant).ok_or_else(|| {
        let words = PRIORITIES.map(|(word, _)| word);
        syn::Error::new(text.span(), unknown("priority", &value, &words))
    })
}

/// A name that settings can write as a bare key.
fn call_name(name: LitStr) -> syn::Result<LitStr> {
    let value = name.value();
    match !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        true => Ok(name),
        false => Err(syn::Error::new(name.span(), "a call's name has letters, digits, `-` and `_`")),
    }
}

/// # Errors
/// For what is no header's name, and for the headers that a request has of its own.
pub(super) fn header_name(name: &LitStr) -> syn::Result<()> {
    const OWN: [&str; 9] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-authorization",
    ];
    let value = name.value();
    let valid = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let message = if value.is_empty() || !value.chars().all(valid) {
        "no header's name: letters, digits and hyphens"
    } else if OWN.contains(&value.to_ascii_lowercase().as_str()) {
        "this header says how the message is framed and to whom it goes, and cannot be set"
    } else {
        return Ok(());
    };
    Err(syn::Error::new(name.span(), message))
}
