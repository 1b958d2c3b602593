use proc_macro2::Span;
use syn::{Field, FieldsNamed, Ident, LitStr, Token, ext::IdentExt as _};

use super::attributes::{Attributes, Method, Value, header_name};
use crate::errors::{Errors, unknown};

/// Where the fields go, besides the path.
#[derive(Default)]
pub(super) struct Places {
    pub(super) query: Vec<(LitStr, Ident)>,
    pub(super) headers: Vec<(LitStr, Ident)>,
    pub(super) body: Option<Ident>,
}

/// What `#[http(..)]` at a field says.
enum Mark {
    Path(Span),
    Query(LitStr),
    Header(LitStr),
    Body(Span),
}

/// Finds each field's place.
pub(super) fn find(fields: &FieldsNamed, attributes: &Attributes, errors: &mut Errors) -> Places {
    let known: Vec<&Ident> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let placed = mentioned(&known, attributes, errors);
    let mut places = Places { body: attributes.body.clone(), ..Places::default() };
    for field in &fields.named {
        let (Some(ident), Some(marks)) = (&field.ident, errors.take(marks(field))) else { continue };
        let in_path = attributes.path.fields().any(|name| name == ident);
        let mut has_place = placed.contains(&ident);
        for mark in marks {
            has_place = true;
            match mark {
                Mark::Query(name) => places.query.push((name, ident.clone())),
                Mark::Header(name) => places.headers.push((name, ident.clone())),
                Mark::Path(span) if !in_path => errors.push(syn::Error::new(
                    span,
                    format!("the path does not have this field; write `{{{}}}` into it", ident.unraw()),
                )),
                Mark::Path(_) => {}
                Mark::Body(span) if attributes.method == Method::Get => {
                    errors.push(syn::Error::new(span, "a GET has no body; use `#[http(query)]`, or `post`"))
                }
                Mark::Body(span) => {
                    if places.body.as_ref().is_some_and(|body| body != ident) {
                        errors.push(syn::Error::new(
                            span,
                            "a request has one body; put both fields into one struct that is it",
                        ));
                    }
                    places.body = Some(ident.clone());
                }
            }
        }
        if !has_place {
            let name = ident.unraw().to_string();
            if attributes.method.has_query_for_the_rest() {
                places.query.push((LitStr::new(&name, ident.span()), ident.clone()));
            } else {
                errors.push(syn::Error::new(
                    ident.span(),
                    format!(
                        "this field has no place in the request: mark it `#[http(body)]`, `#[http(query)]` or \
                         `#[http(header = \"..\")]`, or write `{{{name}}}` into the path"
                    ),
                ));
            }
        }
    }
    places
}

/// The fields that the struct's attributes name; a name without its field is a mistake.
fn mentioned<'a>(known: &[&'a Ident], attributes: &'a Attributes, errors: &mut Errors) -> Vec<&'a Ident> {
    let mut placed: Vec<&Ident> = attributes.path.fields().collect();
    let pairs = attributes.headers.iter().chain(&attributes.query);
    placed.extend(pairs.filter_map(|pair| match &pair.value {
        Value::Field(ident) => Some(ident),
        Value::Literal(_) => None,
    }));
    placed.extend(&attributes.body);
    let tags = attributes.cache.iter().flat_map(|cache| &cache.tags).chain(&attributes.invalidates);
    for name in placed.iter().copied().chain(tags.flat_map(|tag| tag.fields())) {
        if !known.contains(&name) {
            let words: Vec<String> = known.iter().map(|known| known.unraw().to_string()).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let message = match words.is_empty() {
                true => format!("there is no field `{}`", name.unraw()),
                false => unknown("field", &name.unraw().to_string(), &words),
            };
            errors.push(syn::Error::new(name.span(), message));
        }
    }
    placed
}

fn marks(field: &Field) -> syn::Result<Vec<Mark>> {
    let mut marks = Vec::new();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("http")) {
        attribute.parse_nested_meta(|meta| {
            let Some(word) = meta.path.get_ident() else { return Err(meta.error("expected a word")) };
            let span = word.span();
            marks.push(match word.to_string().as_str() {
                "path" => Mark::Path(span),
                "body" => Mark::Body(span),
                "query" if meta.input.peek(Token![=]) => Mark::Query(meta.value()?.parse()?),
                "query" => Mark::Query(own_name(field, span)),
                "header" if !meta.input.peek(Token![=]) => {
                    return Err(meta.error("write the header's name: `header = \"x-tenant\"`"));
                }
                "header" => {
                    let name = meta.value()?.parse()?;
                    header_name(&name)?;
                    Mark::Header(name)
                }
                word => return Err(meta.error(unknown("place", word, &["path", "query", "header", "body"]))),
            });
            Ok(())
        })?;
    }
    Ok(marks)
}

fn own_name(field: &Field, span: Span) -> LitStr {
    let name = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
    LitStr::new(&name, span)
}
