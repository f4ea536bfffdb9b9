//! The files that a config names beside that of the model, and what each must hold. Pure: whoever asks looks at them.

use super::error::ConfigErrors;
use super::partial::PartialConfig;
use super::path::Path;
use super::warmup::WarmupData;
use inferlay_backend_sdk::DataType;

/// A file that a config names.
pub(crate) struct NamedFile<'a> {
    /// As the config spells it.
    pub(crate) name: &'a str,
    pub(crate) content: Content<'a>,
}

/// What a file must hold.
pub(crate) enum Content<'a> {
    /// The classes of an output, one on each line.
    Labels,
    /// An input of one row of a warm-up.
    Row(DataType, &'a [usize]),
}

impl PartialConfig {
    /// What `fault` finds wrong with the files that the config names, each at the place where it does.
    ///
    /// # Errors
    /// All of it.
    pub(crate) fn check_named_files(
        &self,
        model: &str,
        mut fault: impl FnMut(&NamedFile<'_>) -> Option<String>,
    ) -> Result<(), ConfigErrors> {
        let mut report = self.report(model);
        for (path, file) in self.named_files() {
            if let Some(fault) = fault(&file) {
                report.on(&path, fault);
            }
        }
        report.finish(())
    }

    fn named_files(&self) -> Vec<(Path, NamedFile<'_>)> {
        let mut named = Vec::new();
        for (index, output) in self.outputs.iter().enumerate() {
            let path = Path::root("output").index(index).key("label_filename");
            let labels = output.label_filename.as_deref().map(|name| NamedFile { name, content: Content::Labels });
            named.extend(labels.map(|labels| (path, labels)));
        }
        for (index, warmup) in self.warmups.iter().enumerate() {
            let path = Path::root("model_warmup").index(index).key("inputs");
            for (input, said) in &warmup.inputs {
                let WarmupData::File(name) = &said.data else { continue };
                let content = Content::Row(said.data_type, &said.dims);
                named.push((path.key(input.clone()).key("input_data_file"), NamedFile { name, content }));
            }
        }
        named
    }
}
