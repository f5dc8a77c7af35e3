//! Documentation comments, as far as they end up in schemas.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The first paragraph of the documentation, on one line.
pub(crate) fn first_paragraph(attrs: &[Attribute]) -> String {
    let text = attrs.iter().filter_map(doc_of).collect::<Vec<_>>().join("\n");
    let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn doc_of(attr: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attr.meta else {
        return None;
    };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &meta.value else {
        return None;
    };
    meta.path.is_ident("doc").then(|| text.value())
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::first_paragraph;

    #[test]
    fn a_paragraph_ends_at_an_empty_line() {
        let input: syn::ItemStruct = parse_quote! {
            /// Taste a cheez
            /// and rate it.
            ///
            /// Twice.
            struct EatCheez;
        };
        assert_eq!(first_paragraph(&input.attrs), "Taste a cheez and rate it.");
    }

    #[test]
    fn nothing_is_written_where_nothing_was_said() {
        let input: syn::ItemStruct = parse_quote! {
            #[doc(hidden)]
            #[doc = include_str!("cheez.md")]
            struct EatCheez;
        };
        assert_eq!(first_paragraph(&input.attrs), "");
    }
}
