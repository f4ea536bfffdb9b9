//! `inferlay run`: one request, from a file to a file or to standard output.

use crate::arguments::Run;
use crate::models::{builder, start};
use crate::{End, arrays, print};
use inferlay::{Error, Request};
use std::fs;

pub(crate) fn run(own: &Run) -> Result<End, Error> {
    let output = own.output.as_deref().map(|path| (path, path.extension().and_then(|end| end.to_str())));
    if let Some((path, end)) = output
        && !matches!(end, Some("json" | "npz"))
    {
        let path = path.display();
        return Err(Error::invalid_arg(format!("{path}: found another kind of file, expected .json or .npz")));
    }
    let builder = builder(&own.repository, &own.backends);
    // Of a repository nothing else is loaded; a file is one model anyway.
    let server = start(if own.repository.is_file() { builder } else { builder.explicit([&*own.model]) })?;
    let model = match own.version {
        Some(version) => server.model_version(&own.model, version)?,
        None => server.model(&own.model)?,
    };
    let inputs = arrays::read(&own.input, &model.metadata()?.inputs)?;
    let request = inputs.into_iter().fold(Request::new(), |request, (name, tensor)| request.input(name, tensor));
    let response = model.infer(request)?;
    let Some((path, end)) = output else { return print(&format!("{}\n", arrays::json::written(&response)?)) };
    let bytes = match end {
        Some("npz") => arrays::npz(&response)?,
        _ => format!("{:#}\n", arrays::json::written(&response)?).into_bytes(),
    };
    fs::write(path, bytes).map_err(|error| Error::unavailable(format!("{}: {error}", path.display())))?;
    Ok(End::Fine)
}
