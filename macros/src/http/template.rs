use syn::{Ident, LitStr};

/// Text with fields in it: `/users/{id}`, `user:{id}`.
pub(super) struct Template {
    pub(super) pieces: Vec<Piece>,
}

pub(super) enum Piece {
    Literal(String),
    /// A field's name, at the place of the template.
    Field(Ident),
}

impl Template {
    /// # Errors
    /// For braces that do not match, and for what is no name between them.
    pub(super) fn read(text: &LitStr) -> syn::Result<Self> {
        let wrong = |problem: String| syn::Error::new(text.span(), problem);
        let (mut pieces, value) = (Vec::new(), text.value());
        let mut rest = value.as_str();
        while !rest.is_empty() {
            let at = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, tail) = rest.split_at(at);
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.into()));
            }
            rest = tail;
            if rest.starts_with('}') {
                return Err(wrong("a `}` without its `{`".into()));
            }
            if let Some(inner) = rest.strip_prefix('{') {
                let (name, tail) =
                    inner.split_once('}').ok_or_else(|| wrong("a `{` without its `}`".into()))?;
                let ident = syn::parse_str::<Ident>(name).or_else(|_| syn::parse_str(&format!("r#{name}")));
                let mut ident = ident.map_err(|_| wrong(format!("`{{{name}}}` does not name a field")))?;
                ident.set_span(text.span());
                pieces.push(Piece::Field(ident));
                rest = tail;
            }
        }
        Ok(Self { pieces })
    }

    /// Reads a template that is a path.
    ///
    /// # Errors
    /// As [`Template::read`], and for what is no path below a service's URL.
    pub(super) fn path(text: &LitStr) -> syn::Result<Self> {
        let template = Self::read(text)?;
        let value = text.value();
        let problem = if !value.starts_with('/') {
            "a path begins with a slash; the host is in the service's `url`".into()
        } else if value.contains('?') {
            "a path has no query; mark fields `#[http(query)]`, or write `query(\"name\" = \"value\")`".into()
        } else if let Some(odd) = value.chars().find(|c| *c == '#' || c.is_whitespace() || c.is_control()) {
            format!("a path has no {odd:?}")
        } else if value.split('/').any(|segment| matches!(segment, "." | "..")) {
            "a path has no segments `.` and `..`".into()
        } else {
            return Ok(template);
        };
        Err(syn::Error::new(text.span(), problem))
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &Ident> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(ident) => Some(ident),
            Piece::Literal(_) => None,
        })
    }
}
