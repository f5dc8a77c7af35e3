#[automatically_derived]
impl ::amp_proto::CommandError for CheezError {
    const CODES: &'static [::amp_proto::ErrorSchema] = &[
        ::amp_proto::ErrorSchema {
            code: "CELLAR_LOCKED",
            fatal: false,
        },
        ::amp_proto::ErrorSchema {
            code: "NO_SUCH_CHEEZ",
            fatal: false,
        },
        ::amp_proto::ErrorSchema {
            code: "STOLEN",
            fatal: true,
        },
    ];
    fn code(&self) -> ::amp_proto::ErrorSchema {
        match *self {
            Self::CellarLocked => {
                ::amp_proto::ErrorSchema {
                    code: "CELLAR_LOCKED",
                    fatal: false,
                }
            }
            Self::NoSuchCheez(_) => {
                ::amp_proto::ErrorSchema {
                    code: "NO_SUCH_CHEEZ",
                    fatal: false,
                }
            }
            Self::Stolen(_) => {
                ::amp_proto::ErrorSchema {
                    code: "STOLEN",
                    fatal: true,
                }
            }
        }
    }
    fn wire_description(&self) -> ::amp_proto::__private::String {
        match self {
            Self::NoSuchCheez(description) | Self::Stolen(description) => {
                ::core::clone::Clone::clone(description)
            }
            Self::CellarLocked => ::amp_proto::__private::ToString::to_string(self),
        }
    }
    fn from_code(
        code: &::core::primitive::str,
        description: &::core::primitive::str,
    ) -> ::core::option::Option<Self> {
        match code {
            "CELLAR_LOCKED" => ::core::option::Option::Some(Self::CellarLocked),
            "NO_SUCH_CHEEZ" => {
                ::core::option::Option::Some(
                    Self::NoSuchCheez(::core::convert::Into::into(description)),
                )
            }
            "STOLEN" => {
                ::core::option::Option::Some(
                    Self::Stolen(::core::convert::Into::into(description)),
                )
            }
            _ => ::core::option::Option::None,
        }
    }
}
