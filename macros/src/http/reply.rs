use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{GenericArgument, PathArguments, Type, spanned::Spanned as _};

/// How a reply that is written like this is decoded. By its last word, since a derive sees words and not types: another
/// name for `Option<User>` is JSON that may be `null`, and a 404 is then a failure.
pub(super) fn decoder(reply: &Type) -> TokenStream {
    let decode = quote!(::seawall_http::__private);
    match reply {
        Type::Tuple(tuple) if tuple.elems.is_empty() => quote!(#decode::Empty),
        Type::Paren(inner) => decoder(&inner.elem),
        Type::Group(inner) => decoder(&inner.elem),
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return json(reply) };
            let word = last.ident.to_string();
            match (word.as_str(), argument(&last.arguments)) {
                ("Option", Some(inner)) => {
                    let inner = decoder(inner);
                    quote!(#decode::Maybe<#inner>)
                }
                ("Response", Some(inner)) => {
                    let inner = decoder(inner);
                    quote!(#decode::Whole<#inner>)
                }
                ("Bytes", None) => quote!(#decode::Raw),
                ("String", None) => quote!(#decode::Text),
                _ => json(reply),
            }
        }
        _ => json(reply),
    }
}

/// How a reply that is written like this, and stands at `place`, tells that there is nothing; `None` where it cannot.
pub(super) fn is_nothing(reply: &Type, place: TokenStream) -> Option<TokenStream> {
    match reply {
        Type::Paren(inner) => is_nothing(&inner.elem, place),
        Type::Group(inner) => is_nothing(&inner.elem, place),
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            match (last.ident.to_string().as_str(), argument(&last.arguments)) {
                ("Option", Some(_)) => Some(quote!(::core::option::Option::is_none(&#place))),
                ("Response", Some(inner)) => is_nothing(inner, quote!((#place).body)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn json(reply: &Type) -> TokenStream {
    quote_spanned!(reply.span()=> ::seawall_http::__private::Json<#reply>)
}

fn argument(arguments: &PathArguments) -> Option<&Type> {
    match arguments {
        PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1 => match arguments.args.first()
        {
            Some(GenericArgument::Type(inner)) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}
