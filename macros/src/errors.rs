use syn::{Data, DeriveInput, Fields, FieldsNamed};

/// Collects mistakes, so that all are shown at once.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// The value, or `None` and one more mistake.
    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// # Errors
    /// All mistakes so far, if there are any.
    pub(crate) fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// What to say of a word that is none of those allowed, with the nearest of them where one is near.
pub(crate) fn unknown(what: &str, word: &str, allowed: &[&str]) -> String {
    let near = allowed
        .iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min();
    match near {
        Some((_, known)) => format!("unknown {what} `{word}`: did you mean `{known}`?"),
        None => format!("unknown {what} `{word}`; there are `{}`", allowed.join("`, `")),
    }
}

/// The named fields of a struct.
///
/// # Errors
/// For enums, unions, tuple structs and generics: `what` says what it is that cannot be one.
pub(crate) fn named_fields<'a>(input: &'a DeriveInput, what: &str) -> syn::Result<&'a FieldsNamed> {
    let wrong = |found: &str| {
        let message = format!("{what} is a struct with named fields, and `{}` is {found}", input.ident);
        Err(syn::Error::new(input.ident.span(), message))
    };
    if !input.generics.params.is_empty() {
        let message = format!("{what} is one type: remove the parameters of `{}`", input.ident);
        return Err(syn::Error::new_spanned(&input.generics, message));
    }
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields),
            Fields::Unnamed(_) => wrong("a tuple struct"),
            Fields::Unit => wrong("a unit struct; write `{}` after its name"),
        },
        Data::Enum(_) => wrong("an enum"),
        Data::Union(_) => wrong("a union"),
    }
}
