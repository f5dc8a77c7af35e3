#[derive(Arguments)]
struct Page<T> {
    /// The cheez on this page,
    /// best first.
    ///
    /// At most fifty.
    items: Vec<T>,
    /// Absent: this is the last page.
    #[amp(key = "after")]
    next: Option<String>,
}
