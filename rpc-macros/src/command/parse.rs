//! Reads `#[command(…)]`.

use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Ident, LitStr, Path, Token, Type, parenthesized, token};

use crate::errors::Errors;
use crate::{attributes, docs};

const OPTIONS: &str = "`answered_by`, `response`, `errors`, `takes`, `answers`, `name`, \
                       `no_answer` and `afterwards`";

/// What a command says about itself beside its fields.
pub(crate) struct Declaration {
    pub(crate) doc: String,
    pub(crate) name: Name,
    /// `None` if nothing was said, empty if nothing was understood.
    pub(crate) answered_by: Option<Vec<AnsweringRole>>,
    pub(crate) response: Option<Type>,
    pub(crate) errors: Option<Type>,
    /// `takes = stream …`
    pub(crate) takes: Option<Type>,
    /// `answers = stream …`
    pub(crate) gives: Option<Type>,
    pub(crate) no_answer: Option<()>,
    /// A variant of `Afterwards`, which the compiler knows better than this macro.
    pub(super) afterwards: Option<Ident>,
}

/// The name on the wire, and where it stands.
pub(crate) enum Name {
    /// The type's.
    OfType(Ident),
    /// `name = "…"`.
    Given(LitStr),
}

impl Name {
    /// The name on the wire.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::OfType(ident) => ident.unraw().to_string(),
            Self::Given(name) => name.value(),
        }
    }
}

/// A role, and the word of the user's that says it.
pub(crate) struct AnsweringRole {
    pub(crate) role: Role,
    pub(crate) written: Ident,
}

/// A side of the mesh.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Region,
    Cluster,
}

impl Role {
    /// The name of its type, and of its variant of `RoleName`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Region => "Region",
            Self::Cluster => "Cluster",
        }
    }
}

#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    answered_by: Option<Vec<AnsweringRole>>,
    response: Option<Type>,
    errors: Option<Type>,
    takes: Option<Type>,
    gives: Option<Type>,
    no_answer: Option<()>,
    afterwards: Option<Ident>,
}

/// Reads the attributes of the type.
pub(crate) fn parse(input: &DeriveInput, errors: &mut Errors) -> Declaration {
    let mut options = Options::default();
    let readable = attributes::options(&input.attrs, "command", errors, |meta, errors| {
        read(&mut options, meta, errors)
    });
    if !readable {
        // What could not be read may well have said who answers.
        options.answered_by.get_or_insert_default();
    }
    let Options { name, answered_by, response, errors, takes, gives, no_answer, afterwards } =
        options;
    Declaration {
        doc: docs::first_paragraph(&input.attrs),
        name: name.map_or_else(|| Name::OfType(input.ident.clone()), Name::Given),
        answered_by,
        response,
        errors,
        takes,
        gives,
        no_answer,
        afterwards,
    }
}

fn read(options: &mut Options, meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<()> {
    let Some(option) = meta.path.get_ident() else {
        return attributes::unknown(meta, OPTIONS, errors);
    };
    match option.to_string().as_str() {
        "name" => {
            attributes::once(&mut options.name, meta.value()?.parse()?, meta, errors);
        }
        "answered_by" => {
            let roles = read_roles(meta, errors)?;
            attributes::once(&mut options.answered_by, roles, meta, errors);
        }
        "response" => {
            attributes::once(&mut options.response, meta.value()?.parse()?, meta, errors);
        }
        "errors" => {
            attributes::once(&mut options.errors, meta.value()?.parse()?, meta, errors);
        }
        "takes" => attributes::once(&mut options.takes, read_stream(meta)?, meta, errors),
        "answers" => attributes::once(&mut options.gives, read_stream(meta)?, meta, errors),
        "no_answer" => {
            if meta.input.peek(Token![=]) {
                return Err(meta.error("`no_answer` stands alone: it is said or not said"));
            }
            attributes::once(&mut options.no_answer, (), meta, errors);
        }
        "afterwards" => {
            attributes::once(&mut options.afterwards, meta.value()?.parse()?, meta, errors);
        }
        _ => return attributes::unknown(meta, OPTIONS, errors),
    }
    Ok(())
}

/// `= stream Item`
fn read_stream(meta: &ParseNestedMeta<'_>) -> syn::Result<Type> {
    const WHAT: &str = "say of what: `stream` and the type of its items; one answer alone is the \
                        `response`";
    let value = meta.value()?;
    let word: Ident = value.parse().map_err(|error| syn::Error::new(error.span(), WHAT))?;
    if word != "stream" {
        return Err(syn::Error::new(word.span(), WHAT));
    }
    value.parse()
}

/// `= Region` or `(Region, Cluster)`.
fn read_roles(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<Vec<AnsweringRole>> {
    const WHO: &str = "say who: `answered_by = Region`, `Cluster` or `any`";
    let paths = if meta.input.peek(token::Paren) {
        let list;
        parenthesized!(list in meta.input);
        Punctuated::<Path, Token![,]>::parse_terminated(&list)?
    } else if meta.input.peek(Token![=]) {
        Punctuated::from_iter([meta.value()?.parse::<Path>()?])
    } else {
        return Err(meta.error(WHO));
    };
    if paths.is_empty() {
        errors.at(&meta.path, WHO);
    }
    let mut roles = Vec::new();
    for path in &paths {
        let Some(written) = path.segments.last().map(|segment| &segment.ident) else {
            continue;
        };
        let named: &[Role] = match written.to_string().as_str() {
            "Region" => &[Role::Region],
            "Cluster" => &[Role::Cluster],
            "any" => &[Role::Region, Role::Cluster],
            _ => {
                errors.at(path, "there is no such role; say `Region`, `Cluster` or `any`");
                continue;
            }
        };
        roles.extend(
            named.iter().map(|role| AnsweringRole { role: *role, written: written.clone() }),
        );
    }
    Ok(roles)
}
