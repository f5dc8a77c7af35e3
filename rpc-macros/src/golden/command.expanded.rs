#[automatically_derived]
impl ::amp_proto::Arguments for EatCheez {
    const FIELDS: &'static [::amp_proto::FieldSchema] = &[
        ::amp_proto::FieldSchema {
            name: "name",
            doc: "",
            kind: <String as ::amp_proto::Parameter>::TYPE,
            optional: <String as ::amp_proto::Parameter>::OPTIONAL,
        },
        ::amp_proto::FieldSchema {
            name: "type",
            doc: "",
            kind: <String as ::amp_proto::Parameter>::TYPE,
            optional: <String as ::amp_proto::Parameter>::OPTIONAL,
        },
        ::amp_proto::FieldSchema {
            name: "age_months",
            doc: "Absent: as old as the cellar has it.",
            kind: <Option<u8> as ::amp_proto::Parameter>::TYPE,
            optional: <Option<u8> as ::amp_proto::Parameter>::OPTIONAL,
        },
    ];
    fn encode(
        &self,
        out: &mut ::amp_proto::BoxWriter<'_>,
    ) -> ::core::result::Result<(), ::amp_proto::EncodeError> {
        <Option<
            u8,
        > as ::amp_proto::Parameter>::put(&self.age_months, "age_months", out)?;
        <String as ::amp_proto::Parameter>::put(&self.name, "name", out)?;
        <String as ::amp_proto::Parameter>::put(&self.r#type, "type", out)?;
        ::core::result::Result::Ok(())
    }
    fn bytes_hint(&self) -> ::core::primitive::usize {
        0 + <String as ::amp_proto::Parameter>::bytes_hint(&self.name)
            + <String as ::amp_proto::Parameter>::bytes_hint(&self.r#type)
            + <Option<u8> as ::amp_proto::Parameter>::bytes_hint(&self.age_months)
    }
    fn decode(
        fields: &::amp_proto::Fields<'_>,
    ) -> ::core::result::Result<Self, ::amp_proto::DecodeError> {
        ::core::result::Result::Ok(Self {
            name: <String as ::amp_proto::Parameter>::take("name", fields)?,
            r#type: <String as ::amp_proto::Parameter>::take("type", fields)?,
            age_months: <Option<
                u8,
            > as ::amp_proto::Parameter>::take("age_months", fields)?,
        })
    }
}
#[automatically_derived]
impl ::amp_proto::Command for EatCheez {
    type Response = CheezRating;
    type Error = CheezError;
    const NAME: &'static str = "EatCheez";
    const SCHEMA: ::amp_proto::CommandSchema = ::amp_proto::CommandSchema {
        name: <Self as ::amp_proto::Command>::NAME,
        doc: "Taste a cheez and rate it.",
        answered_by: &[::amp_proto::RoleName::Cluster],
        arguments: <Self as ::amp_proto::Arguments>::FIELDS,
        response: ::amp_proto::__private::response_fields::<Self>(),
        takes: ::core::option::Option::None,
        gives: ::core::option::Option::None,
        errors: ::amp_proto::__private::error_codes::<Self>(),
        requires_answer: false,
    };
}
#[automatically_derived]
impl ::amp_proto::AnsweredBy<::amp_proto::Cluster> for EatCheez {}
#[automatically_derived]
impl ::amp_proto::NoAnswer for EatCheez {}
