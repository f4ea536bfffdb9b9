//! What a session says of its inputs and outputs, as a signature. Pure.

use crate::file::Facts;
use crate::raw::{Dim, Port, element_name, element_of};
use inferlay_backend_sdk::{DataType, Error, Ragged, Shape, Signature, TensorSpec};
use std::collections::BTreeSet;

/// The signature of a session; what the C API does not tell is taken from the model file's `facts`, and what is not by
/// rows is what the config says.
///
/// # Errors
/// `UNSUPPORTED` for values that are no tensors and for element types that are none of ours, by name; `INVALID_ARG` for
/// names that are empty or not unique, and for a model without inputs or outputs.
pub(crate) fn signature(
    inputs: &[Port],
    outputs: &[Port],
    facts: &Facts<'_>,
    ragged: &Ragged,
) -> Result<Signature, Error> {
    let ports = inputs;
    let inputs = specs("input", inputs, facts)?;
    let outputs = specs("output", outputs, facts)?;
    let by_rows = ports.iter().zip(&inputs).filter(|(_, spec)| !ragged.has_input(&spec.name));
    let first_dims: Vec<Option<&Dim>> = by_rows.map(|(port, _)| first_dim(port)).collect();
    let batches = !inputs.is_empty() && batches(&first_dims, ragged.by_rows(&inputs, &outputs));
    Ok(Signature { inputs, outputs, batches })
}

/// Whether the first dim of every input that is by rows has the same name, or none has one, and its size and that of
/// every such output's is open.
fn batches<'a>(first_dims: &[Option<&Dim>], mut specs: impl Iterator<Item = &'a TensorSpec>) -> bool {
    let open = |dim: &Option<&Dim>| matches!(dim, Some(Dim::Named(_) | Dim::Any)) && *dim == first_dims[0];
    first_dims.iter().all(open) && specs.all(|spec| spec.dims.as_ref().is_some_and(|dims| dims.first() == Some(&-1)))
}

/// Whether a model that can batch is to: not if the config says so, or states dims with the batch among them. The first
/// dim of an output is then whatever the model makes of it, and no number of rows.
pub(crate) fn is_to_batch(batch_size_max: Option<usize>, stated: &Signature, own: &Signature, ragged: &Ragged) -> bool {
    let counts_batch = |stated: &TensorSpec, own: &[TensorSpec]| {
        let rank = |spec: &TensorSpec| spec.dims.as_ref().map(Vec::len);
        stated.dims.is_some() && own.iter().any(|own| own.name == stated.name && rank(own) == rank(stated))
    };
    let mut inputs = ragged.by_rows(&stated.inputs, &[]);
    let mut outputs = ragged.by_rows(&[], &stated.outputs);
    match batch_size_max {
        Some(size) => size > 0,
        None => {
            !inputs.any(|spec| counts_batch(spec, &own.inputs)) && !outputs.any(|spec| counts_batch(spec, &own.outputs))
        }
    }
}

fn first_dim(port: &Port) -> Option<&Dim> {
    port.tensor.as_ref().ok().and_then(|(_, dims)| dims.first())
}

fn specs(kind: &str, ports: &[Port], facts: &Facts<'_>) -> Result<Vec<TensorSpec>, Error> {
    let specs = ports.iter().map(|port| spec(kind, port, facts)).collect::<Result<Vec<_>, _>>()?;
    let mut names = BTreeSet::new();
    if let Some(twice) = specs.iter().find(|spec| spec.name.is_empty() || !names.insert(&spec.name)) {
        return Err(Error::invalid_arg(format!("{kind} '{}': its name is empty or not unique", twice.name)));
    }
    Ok(specs)
}

fn spec(kind: &str, port: &Port, facts: &Facts<'_>) -> Result<TensorSpec, Error> {
    let place = || format!("{kind} '{}'", port.name.to_string_lossy());
    let name = port.name.to_str().map_err(|_| Error::invalid_arg("its name is not UTF-8").at(place()))?;
    let (element, dims) = port
        .tensor
        .as_ref()
        .map_err(|found| Error::unsupported(format!("found {found}, expected a tensor")).at(place()))?;
    let Some(dtype) = element_of(*element) else {
        let message = format!("found elements of {}, expected a type that requests can carry", element_name(*element));
        return Err(Error::unsupported(message).at(place()));
    };
    // No dims are either those of a scalar or those of a value of unknown rank.
    let is_ranked = !dims.is_empty() || matches!(facts.values.get(name.as_bytes()), Some(Some(_)));
    let dims = is_ranked.then(|| dims.iter().map(size).collect());
    Ok(TensorSpec { name: name.to_owned(), dtype, dims, optional: false })
}

fn size(dim: &Dim) -> i64 {
    match dim {
        Dim::Size(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        Dim::Named(_) | Dim::Any => -1,
    }
}

/// For each dim of each input the number of its name, if that is to be believed: dims of one number must be of one size.
pub(crate) fn dim_numbers(inputs: &[Port], ragged: &Ragged) -> Vec<Vec<Option<usize>>> {
    let mut names = Vec::new();
    let mut numbers = Vec::new();
    let firsts: Vec<_> = inputs.iter().map(|port| (name_of(port), first_dim(port).and_then(Dim::name))).collect();
    for port in inputs {
        let dims = port.tensor.as_ref().map_or(&[][..], |(_, dims)| dims);
        let is_believed = ragged.believes(name_of(port), &firsts);
        let number = dims.iter().enumerate().map(|(at, dim)| {
            let name = dim.name().filter(|_| at > 0 || is_believed);
            name.map(|name| place_of(&mut names, name))
        });
        numbers.push(number.collect());
    }
    numbers
}

/// The name of an input; one that is no text was refused.
fn name_of(port: &Port) -> &str {
    port.name.to_str().unwrap_or_default()
}

/// The place of a name among the `names`, of which it becomes one.
fn place_of<'a>(names: &mut Vec<&'a str>, name: &'a str) -> usize {
    names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}

/// The shape of an output, where it is known before the run: a fixed one but for the rows, for which the first dim
/// stands, of elements that have a size.
pub(crate) fn shape_ahead(spec: &TensorSpec, batches: bool) -> Option<Shape> {
    if spec.dtype == DataType::Bytes {
        return None;
    }
    let size = |(place, dim): (usize, &i64)| match (place, batches) {
        (0, true) => Some(0),
        _ => usize::try_from(*dim).ok(),
    };
    let sizes = spec.dims.as_ref()?.iter().enumerate().map(size).collect::<Option<Vec<usize>>>()?;
    Some(Shape::new(&sizes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferlay_backend_sdk::ErrorKind;
    use std::ffi::CString;

    fn port(name: &str, dims: &[&str]) -> Port {
        let dim = |text: &&str| match text.parse() {
            Ok(size) => Dim::Size(size),
            Err(_) if text.is_empty() => Dim::Any,
            Err(_) => Dim::Named(text.to_string()),
        };
        Port { name: CString::new(name).unwrap(), tensor: Ok((1, dims.iter().map(dim).collect())) }
    }

    #[test]
    fn a_model_batches_when_every_first_dim_is_one_open_dim() {
        for (a, b, y, expected) in [
            (&["n", "3"][..], &["n", "4"][..], &["n", "2"][..], true),
            (&["", "3"], &["", "4"], &["n", "2"], true),
            (&["n", "3"], &["m", "4"], &["n", "2"], false),
            (&["n", "3"], &["", "4"], &["n", "2"], false),
            (&["2", "3"], &["2", "4"], &["2", "2"], false),
            (&["n", "3"], &["n", "4"], &["2", "2"], false),
            (&["n", "3"], &[], &["n", "2"], false),
        ] {
            let (inputs, outputs) = ([port("a", a), port("b", b)], [port("y", y)]);
            let found = signature(&inputs, &outputs, &Facts::default(), &Ragged::default()).unwrap();
            assert_eq!(found.batches, expected, "{a:?} {b:?} {y:?}");
        }
    }

    #[test]
    fn a_model_that_can_batch_does_unless_the_config_says_otherwise() {
        let spec = |name: &str, dims: Option<&[i64]>| TensorSpec {
            name: name.to_owned(),
            dtype: DataType::Fp32,
            dims: dims.map(<[i64]>::to_vec),
            optional: false,
        };
        let signature = |inputs, outputs| Signature { inputs, outputs, batches: true };
        let own = signature(vec![spec("x", Some(&[-1, 2]))], vec![spec("y", Some(&[-1]))]);
        for (size, inputs, outputs, expected) in [
            (None, vec![], vec![], true),
            (Some(0), vec![], vec![], false),
            (Some(8), vec![spec("x", Some(&[2]))], vec![], true),
            (None, vec![spec("x", Some(&[2]))], vec![spec("y", Some(&[]))], true),
            (None, vec![spec("x", Some(&[-1, 2]))], vec![], false),
            (None, vec![], vec![spec("y", Some(&[3]))], false),
            (None, vec![spec("x", None)], vec![spec("z", Some(&[3]))], true),
        ] {
            let stated = signature(inputs, outputs);
            assert_eq!(is_to_batch(size, &stated, &own, &Ragged::default()), expected, "{size:?} {stated:?}");
        }
    }

    #[test]
    fn no_dims_are_a_scalar_only_if_the_file_says_so() {
        let facts = Facts { values: [(&b"s"[..], Some(0)), (b"u", None)].into(), ..Facts::default() };
        let outputs = [port("u", &[]), port("v", &["2"])];
        let found = signature(&[port("s", &[])], &outputs, &facts, &Ragged::default()).unwrap();
        let dims: Vec<_> = found.inputs.iter().chain(&found.outputs).map(|spec| spec.dims.clone()).collect();
        assert_eq!(dims, [Some(vec![]), None, Some(vec![2])]);
    }

    #[test]
    fn what_is_no_tensor_of_ours_is_refused_by_name() {
        let sequence = Port { name: c"x".to_owned(), tensor: Err("a sequence") };
        let small = Port { name: c"x".to_owned(), tensor: Ok((22, vec![])) };
        for (port, what) in [(sequence, "a sequence"), (small, "int4")] {
            let error = signature(&[], &[port], &Facts::default(), &Ragged::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains("output 'x'") && error.message().contains(what), "{error}");
        }
    }

    #[test]
    fn dims_of_one_name_have_one_number() {
        let inputs = [port("a", &["n", "3", "k"]), port("b", &["k", "", "n"])];
        let found = dim_numbers(&inputs, &Ragged::default());
        assert_eq!(found, [[Some(0), None, Some(1)], [Some(1), None, Some(0)]]);
    }

    fn ragged() -> Ragged {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Ragged { flat: names(&["x"]), made: names(&["ends", "sizes"]), scattered: names(&["y"]) }
    }

    #[test]
    fn only_what_is_by_rows_tells_whether_a_model_batches() {
        for (x, ends, z, y, total, expected) in [
            (&["e"][..], &["r"][..], &["n", "3"][..], &["e"][..], &["n", "1"][..], true),
            (&["7"], &["2"], &["n", "3"], &["7"], &["n"], true),
            (&["n"], &["n"], &["n"], &["n"], &["n"], true),
            (&["n"], &["n"], &["n"], &["n"], &["2"], false),
            (&["n"], &["n"], &["2"], &["n"], &["n"], false),
        ] {
            let (inputs, outputs) =
                ([port("x", x), port("ends", ends), port("z", z)], [port("y", y), port("t", total)]);
            let found = signature(&inputs, &outputs, &Facts::default(), &ragged()).unwrap();
            assert_eq!(found.batches, expected, "{x:?} {ends:?} {z:?} {y:?} {total:?}");
        }
        let all = signature(&[port("x", &["n"])], &[port("y", &["m"])], &Facts::default(), &ragged()).unwrap();
        assert!(all.batches, "nothing says that it does not");
        assert!(is_to_batch(None, &all, &all, &ragged()), "their dims are the model's own, and no dims of a batch");
        let none = signature(&[], &[port("y", &["m"])], &Facts::default(), &ragged()).unwrap();
        assert!(!none.batches, "without inputs there are no rows");
    }

    #[test]
    fn a_name_of_dims_that_a_ragged_batch_makes_different_has_no_number() {
        let inputs = [port("x", &["n"]), port("ends", &["n"]), port("z", &["n", "k"]), port("sizes", &["m", "k"])];
        let found = dim_numbers(&inputs, &ragged());
        assert_eq!(found, [vec![None], vec![None], vec![Some(0), Some(1)], vec![Some(2), Some(1)]]);
    }

    #[test]
    fn a_shape_is_known_ahead_but_for_what_varies() {
        let spec = |dtype, dims: Option<Vec<i64>>| TensorSpec { name: "y".to_owned(), dtype, dims, optional: false };
        for (dtype, dims, batches, expected) in [
            (DataType::Fp32, Some(vec![-1, 2]), true, Some(vec![0, 2])),
            (DataType::Fp32, Some(vec![-1, 2]), false, None),
            (DataType::Fp32, Some(vec![3, 2]), false, Some(vec![3, 2])),
            (DataType::Fp32, Some(vec![-1, -1]), true, None),
            (DataType::Fp32, None, false, None),
            (DataType::Bytes, Some(vec![3]), false, None),
        ] {
            let expected = expected.map(|dims: Vec<usize>| Shape::new(&dims));
            assert_eq!(shape_ahead(&spec(dtype, dims.clone()), batches), expected, "{dims:?} {batches}");
        }
    }
}
