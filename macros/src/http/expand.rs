use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, FieldsNamed, Ident, LitStr, Type, ext::IdentExt as _};

use super::{
    attributes::{Attributes, Value},
    place::Places,
    reply::{decoder, is_nothing},
    template::{Piece, Template},
};

/// Writes the implementation. Every path begins at `::seawall_http`, so that a user needs no other crate.
pub(super) fn expand(
    input: &DeriveInput,
    fields: &FieldsNamed,
    attributes: &Attributes,
    places: &Places,
) -> TokenStream {
    let expansion = Expansion { fields, attributes, places };
    let ident = &input.ident;
    let own_name = LitStr::new(&ident.unraw().to_string(), ident.span());
    let name = attributes.name.as_ref().unwrap_or(&own_name);
    let (reply, settings) = (&attributes.reply, settings(attributes));
    let (traits, cache) = (traits(attributes), expansion.cache());
    let invalidates = expansion.invalidates();
    let request = expansion.request();
    let decoder = decoder(reply);
    let error = match &attributes.error {
        Some(error) => quote!(::seawall_http::__private::Typed<#error>),
        None => quote!(::seawall_http::__private::Untyped),
    };
    quote! {
        #[automatically_derived]
        impl ::seawall_http::__private::Call<::seawall_http::Http> for #ident {
            type Reply = #reply;
            const NAME: &'static str = #name;
            const SETTINGS: &'static str = #settings;

            #traits
            #cache
            #invalidates

            async fn attempt(
                &self,
                http: &::seawall_http::Http,
                attempt: &::seawall_http::__private::Attempt,
            ) -> ::core::result::Result<Self::Reply, ::seawall_http::__private::Failure> {
                let request = #request;
                http.send_typed::<#decoder, #error>(request, attempt).await
            }
        }
    }
}

/// The call's settings, as TOML at a call's level.
fn settings(attributes: &Attributes) -> String {
    let mut toml = String::new();
    if let Some(timeout) = &attributes.timeout {
        toml.push_str(&format!("timeout = \"{timeout}\"\n"));
    }
    if let Some(cache) = attributes.cache.as_ref().filter(|cache| !cache.settings.is_empty()) {
        toml.push_str("[cache]\n");
        for (key, value) in &cache.settings {
            toml.push_str(&format!("{key} = \"{value}\"\n"));
        }
    }
    toml
}

fn is_idempotent(attributes: &Attributes) -> bool {
    attributes.idempotent.unwrap_or(attributes.method.is_idempotent())
}

fn traits(attributes: &Attributes) -> TokenStream {
    let idempotent = is_idempotent(attributes);
    let priority = match attributes.priority.map(|variant| format_ident!("{variant}")) {
        Some(variant) => quote!(::core::option::Option::Some(::seawall_http::__private::Priority::#variant)),
        None => quote!(::core::option::Option::None),
    };
    quote! {
        fn traits(&self) -> ::seawall_http::__private::CallTraits {
            ::seawall_http::__private::CallTraits { idempotent: #idempotent, priority: #priority }
        }
    }
}

struct Expansion<'a> {
    fields: &'a FieldsNamed,
    attributes: &'a Attributes,
    places: &'a Places,
}

impl Expansion<'_> {
    fn cache(&self) -> TokenStream {
        let Some(cache) = &self.attributes.cache else { return TokenStream::new() };
        let values =
            self.fields.named.iter().filter_map(|field| field.ident.as_ref()).map(|ident| self.field(ident));
        let tags = self.tags(&cache.tags);
        let tags = (!cache.tags.is_empty()).then(|| {
            quote! {
                fn tags(&self, tags: &mut ::seawall_http::__private::TagWriter) {
                    #tags
                }
            }
        });
        let is_negative = is_nothing(&self.attributes.reply, quote!(*reply)).map(|is_nothing| {
            quote! {
                fn is_negative(&self, reply: &Self::Reply) -> bool {
                    #is_nothing
                }
            }
        });
        let codec = cache.shared.map(|version| {
            quote! {
                fn codec() -> ::core::option::Option<::seawall_http::__private::Codec<Self::Reply>> {
                    ::core::option::Option::Some(::seawall_http::__private::in_json(#version))
                }
            }
        });
        quote! {
            #is_negative

            #codec

            fn sharing() -> ::core::option::Option<::seawall_http::__private::Sharing<Self::Reply>> {
                ::core::option::Option::Some(::seawall_http::__private::Sharing::new())
            }

            fn cache_key(
                &self,
                key: &mut ::seawall_http::__private::KeyWriter<'_>,
            ) -> ::seawall_http::__private::Cacheable {
                #(key.value(#values);)*
                ::seawall_http::__private::Cacheable::Yes
            }

            #tags
        }
    }

    fn invalidates(&self) -> TokenStream {
        let attributes = self.attributes;
        if attributes.invalidates.is_empty() {
            return TokenStream::new();
        }
        let tags = self.tags(&attributes.invalidates);
        quote! {
            fn invalidates(&self, tags: &mut ::seawall_http::__private::TagWriter) {
                #tags
            }
        }
    }

    fn tags(&self, templates: &[Template]) -> TokenStream {
        let tags = templates.iter().map(|template| {
            let mut format = String::new();
            let mut values = Vec::new();
            for piece in &template.pieces {
                match piece {
                    Piece::Literal(text) => format.push_str(text),
                    Piece::Field(ident) => {
                        format.push_str("{}");
                        let value = self.field(ident);
                        values.push(quote!(::seawall_http::__private::Shown(#value)));
                    }
                }
            }
            quote!(tags.tag(::core::format_args!(#format #(, #values)*));)
        });
        quote!(#(#tags)*)
    }

    fn request(&self) -> TokenStream {
        let Self { attributes, places, .. } = *self;
        let method = format_ident!("{}", attributes.method.word());
        let path = attributes.path.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => quote!(.path(#text)),
            Piece::Field(ident) => {
                let (name, value) = (ident.unraw().to_string(), self.field(ident));
                quote!(.segment(#name, #value))
            }
        });
        let query = attributes.query.iter().map(|pair| self.pair_of(&pair.name, &pair.value));
        let query = query.chain(places.query.iter().map(|(name, ident)| self.with(name, ident)));
        let headers = attributes.headers.iter().map(|pair| self.pair_of(&pair.name, &pair.value));
        let headers = headers.chain(places.headers.iter().map(|(name, ident)| self.with(name, ident)));
        let body = places.body.as_ref().map(|ident| {
            let value = self.field(ident);
            match self.is_bytes(ident) {
                true => quote!(.body("application/octet-stream", ::core::clone::Clone::clone(#value))),
                false => quote!(.json(#value)),
            }
        });
        let idempotent = attributes.idempotent.map(|idempotent| quote!(.idempotent(#idempotent)));
        quote! {
            ::seawall_http::Request::#method()
                #(#path)*
                #(.query(#query))*
                #(.header(#headers))*
                #body
                #idempotent
        }
    }

    /// Whether a field is written as `Bytes`, which are sent as they are.
    fn is_bytes(&self, ident: &Ident) -> bool {
        let field = self.fields.named.iter().find(|field| field.ident.as_ref() == Some(ident));
        matches!(field.map(|field| &field.ty), Some(Type::Path(path))
            if path.path.segments.last().is_some_and(|last| last.ident == "Bytes"))
    }

    fn pair_of(&self, name: &LitStr, value: &Value) -> TokenStream {
        match value {
            Value::Field(ident) => self.with(name, ident),
            Value::Literal(literal) => quote!(#name, &#literal),
        }
    }

    fn with(&self, name: &LitStr, ident: &Ident) -> TokenStream {
        let value = self.field(ident);
        quote!(#name, #value)
    }

    /// A field by reference, at the field's own place in the source: a type that cannot be written is reported there.
    fn field(&self, ident: &Ident) -> TokenStream {
        // A template's name of it stands elsewhere.
        let own = self.fields.named.iter().filter_map(|field| field.ident.as_ref()).find(|own| *own == ident);
        let span = own.unwrap_or(ident).span();
        quote_spanned!(span=> &self.#ident)
    }
}
