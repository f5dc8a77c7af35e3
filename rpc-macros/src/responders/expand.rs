//! Writes `Responder` and `ResponderTable`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Generics, Path, ReturnType, Type};

use super::parse::{Block, Method, cfgs_of};

/// What the block says, as implementations and as a table.
pub(super) fn expand(block: &Block) -> TokenStream {
    let methods = block.methods.iter().filter_map(|method| Some((method, method.command()?)));
    let responders = methods.clone().map(|(method, command)| responder(block, method, command));
    let root = &block.root;
    let table = table(
        block,
        &block.item.generics,
        methods.map(|(Method { cfgs, .. }, command)| {
            quote! {
                #(#cfgs)*
                #root::Entry {
                    schema: <#command as #root::Command>::SCHEMA,
                    respond: #root::__private::respond::<Self, #command>,
                }
            }
        }),
    );
    quote! {
        #(#responders)*
        #table
    }
}

/// `ResponderTable`.
pub(crate) fn table(
    block: &Block,
    generics: &Generics,
    entries: impl Iterator<Item = TokenStream>,
) -> TokenStream {
    let Block { root, item, .. } = block;
    let cfgs = cfgs_of(&item.attrs);
    let self_ty = &item.self_ty;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl #impl_generics #root::ResponderTable for #self_ty #where_clause {
            const TABLE: &'static [#root::Entry<Self>] = &[#(#entries),*];
        }
    }
}

fn responder(block: &Block, method: &Method, command: &Type) -> TokenStream {
    let root = &block.root;
    let name = &method.sig.ident;
    // The compiler judges the types, and what it says belongs where the user wrote them.
    let others = method.arguments().skip(1).map(|argument| {
        let ty = &*argument.ty;
        let at_type = located_at(ty.span());
        if let Type::Reference(_) = ty {
            return quote_spanned!(at_type=> peer);
        }
        let moved_root = moved(root, at_type);
        quote_spanned!(at_type=> <#ty as #moved_root::FromAsk<#command>>::from_ask(peer))
    });
    let others = others.collect::<Vec<_>>();
    let peer_name = if others.is_empty() { quote!(_) } else { quote!(peer) };
    let output = match &method.sig.output {
        ReturnType::Type(_, ty) => quote!(#ty),
        ReturnType::Default => quote_spanned!(located_at(name.span())=> ()),
    };
    let response = quote!(<#command as #root::Command>::Response);
    let error = quote!(<#command as #root::Command>::Error);
    let body = quote! {
        <#output as #root::__private::Answer<#response, #error>>::into_outcome(
            Self::#name(self, command #(, #others)*).await,
        )
    };
    implementation(block, &block.item.generics, method, command, &peer_name, &body)
}

/// `Responder`, with this body.
pub(crate) fn implementation(
    block: &Block,
    generics: &Generics,
    method: &Method,
    command: &Type,
    peer: &TokenStream,
    body: &TokenStream,
) -> TokenStream {
    let Block { root, item, .. } = block;
    let cfgs = cfgs_of(&item.attrs).into_iter().chain(method.cfgs.iter().cloned());
    let self_ty = &item.self_ty;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    // What the compiler says of the command belongs at its type. A future that cannot be sent to
    // another thread is the method's fault, not the attribute's.
    let at_command = located_at(command.span());
    let moved_root = moved(root, at_command);
    let responder = quote_spanned!(at_command=> #moved_root::Responder<#command>);
    let respond = quote_spanned! {located_at(method.sig.ident.span())=>
        async fn respond(
            &self,
            command: #command,
            #peer: &#root::Peer,
        ) -> ::core::result::Result<
            <#command as #root::Command>::Response,
            #root::Failure<<#command as #root::Command>::Error>,
        >
    };
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl #impl_generics #responder for #self_ty #where_clause {
            #respond {
                #body
            }
        }
    }
}

/// This place in the user's code, for code that the user did not write.
fn located_at(place: Span) -> Span {
    Span::call_site().located_at(place)
}

/// The same path, as if it were written there.
fn moved(path: &Path, place: Span) -> TokenStream {
    let moved = path.to_token_stream().into_iter().map(|mut token| {
        token.set_span(place);
        token
    });
    moved.collect()
}
