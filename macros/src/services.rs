use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Field, LitStr, Path, Token, ext::IdentExt as _, punctuated::Punctuated};

use crate::errors::{Errors, named_fields, unknown};

/// # Errors
/// For what is no struct with named fields, and for attributes that are none.
pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input, "a set of services")?;
    let mut errors = Errors::default();
    let (mut registered, mut bound) = (Vec::new(), Vec::new());
    let mut names: Vec<String> = Vec::new();
    for field in &fields.named {
        let Some((Service { name, calls }, ident)) =
            errors.take(Service::read(field)).zip(field.ident.as_ref())
        else {
            continue;
        };
        if names.contains(&name.value()) {
            let message = format!("two fields are the service `{}`; give one another `name`", name.value());
            errors.push(syn::Error::new(name.span(), message));
        }
        names.push(name.value());
        let service = &field.ty;
        registered.push(quote! {
            registry.service::<<#service as ::seawall::runtime::Handle>::Kind>(#name) #(.call::<#calls>())*;
        });
        bound.push(quote!(#ident: binder.service(#name)));
    }
    errors.finish()?;
    let ident = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::seawall::runtime::Services for #ident {
            fn register(registry: &mut ::seawall::runtime::Registry) {
                #(#registered)*
            }

            fn bind(binder: &::seawall::runtime::Binder<'_>) -> Self {
                Self { #(#bound),* }
            }
        }
    })
}

struct Service {
    name: LitStr,
    calls: Vec<Path>,
}

impl Service {
    fn read(field: &Field) -> syn::Result<Self> {
        let (mut name, mut calls) = (None, Vec::new());
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("service")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("calls") {
                    let content;
                    syn::parenthesized!(content in meta.input);
                    calls.extend(Punctuated::<Path, Token![,]>::parse_terminated(&content)?);
                    Ok(())
                } else if meta.path.is_ident("name") {
                    name = Some(meta.value()?.parse::<LitStr>()?);
                    Ok(())
                } else {
                    let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                    Err(meta.error(unknown("attribute of a service", &word, &["calls", "name"])))
                }
            })?;
        }
        let name = match (name, &field.ident) {
            (Some(name), _) => name,
            (None, Some(ident)) => LitStr::new(&ident.unraw().to_string(), ident.span()),
            (None, None) => return Err(syn::Error::new_spanned(field, "a service is a field with a name")),
        };
        Ok(Self { name, calls })
    }
}
