#[automatically_derived]
impl<T> ::amp_proto::Arguments for Page<T>
where
    T: ::core::marker::Send + 'static,
    Vec<T>: ::amp_proto::Parameter,
{
    const FIELDS: &'static [::amp_proto::FieldSchema] = &[
        ::amp_proto::FieldSchema {
            name: "items",
            doc: "The cheez on this page, best first.",
            kind: <Vec<T> as ::amp_proto::Parameter>::TYPE,
            optional: <Vec<T> as ::amp_proto::Parameter>::OPTIONAL,
        },
        ::amp_proto::FieldSchema {
            name: "after",
            doc: "Absent: this is the last page.",
            kind: <Option<String> as ::amp_proto::Parameter>::TYPE,
            optional: <Option<String> as ::amp_proto::Parameter>::OPTIONAL,
        },
    ];
    fn encode(
        &self,
        out: &mut ::amp_proto::BoxWriter<'_>,
    ) -> ::core::result::Result<(), ::amp_proto::EncodeError> {
        <Option<String> as ::amp_proto::Parameter>::put(&self.next, "after", out)?;
        <Vec<T> as ::amp_proto::Parameter>::put(&self.items, "items", out)?;
        ::core::result::Result::Ok(())
    }
    fn bytes_hint(&self) -> ::core::primitive::usize {
        0 + <Vec<T> as ::amp_proto::Parameter>::bytes_hint(&self.items)
            + <Option<String> as ::amp_proto::Parameter>::bytes_hint(&self.next)
    }
    fn decode(
        fields: &::amp_proto::Fields<'_>,
    ) -> ::core::result::Result<Self, ::amp_proto::DecodeError> {
        ::core::result::Result::Ok(Self {
            items: <Vec<T> as ::amp_proto::Parameter>::take("items", fields)?,
            next: <Option<String> as ::amp_proto::Parameter>::take("after", fields)?,
        })
    }
}
#[automatically_derived]
impl<T> ::amp_proto::ListItem for Page<T>
where
    T: ::core::marker::Send + 'static,
    Vec<T>: ::amp_proto::Parameter,
{
    const LIST_TYPE: ::amp_proto::ArgumentType = ::amp_proto::ArgumentType::Boxes(
        <Self as ::amp_proto::Arguments>::FIELDS,
    );
    fn encode_list(
        items: &[Self],
        out: &mut ::amp_proto::__private::Vec<u8>,
    ) -> ::core::result::Result<(), ::amp_proto::EncodeError> {
        ::amp_proto::__private::encode_boxes(items, out)
    }
    fn decode_list(
        value: ::amp_proto::Value<'_>,
    ) -> ::core::result::Result<
        ::amp_proto::__private::Vec<Self>,
        ::amp_proto::ValueError,
    > {
        ::amp_proto::__private::decode_boxes(value)
    }
}
