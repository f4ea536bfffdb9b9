//! The best classes of an output, as Triton's classification extension has them. Pure; any thread.

use super::response::Response;
use inferlay_backend_sdk::{DataType, Element, Error, TensorRef};

/// One class of an output: its number, what the model says of it, and its name.
///
/// # Examples
/// ```
/// # use inferlay::{Request, ServerHandle, Tensor};
/// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 3}, \
/// #     output: {name: x, data_type: FP32, dims: 3, label_filename: labels.txt}}".to_vec();
/// # let files = [("config.yaml", config), ("labels.txt", b"cat\ndog\nfox\n".to_vec()), ("1/none", Vec::new())];
/// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
/// # let model = server.model("echo")?;
/// // The model's outputs are its inputs, and its config names a file of labels.
/// let x = Tensor::from_vec(vec![0.1f32, 0.7, 0.2], [3])?;
/// let response = model.infer(Request::new().input("x", x))?;
/// let best = response.classes("x", 1)?[0][0];
/// assert_eq!((best.index, best.label), (1, Some("dog")));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Class<'a> {
    /// Its number: where it stands in the output.
    pub index: usize,
    /// The element of the output.
    pub score: f64,
    /// Its name, if the model's config has a `label_filename` for the output and the file has so many lines.
    pub label: Option<&'a str>,
}

impl Response {
    /// The `count` best classes of an output, best first: of each row of the batch, or once if the model does not batch.
    /// Equal ones come in their order, and what is no number comes last.
    ///
    /// # Errors
    /// As for [`Response::output`], and [`crate::ErrorKind::Unsupported`] for an output whose elements are no numbers of 8
    /// to 64 bits, or of 16-bit floats.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', max_batch_size: 4, input: {name: x, data_type: FP32, dims: 3}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![0.1f32, 0.7, 0.2, 0.5, 0.4, 0.1], [2, 3])?;
    /// let response = model.infer(Request::new().input("x", x))?;
    /// let best: Vec<Vec<usize>> =
    ///     response.classes("x", 2)?.iter().map(|row| row.iter().map(|class| class.index).collect()).collect();
    /// assert_eq!(best, [[1, 2], [0, 1]]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn classes(&self, output: &str, count: usize) -> Result<Vec<Vec<Class<'_>>>, Error> {
        let tensor = self.output(output)?;
        let (spec, labels) = (self.spec(), self.spec().labels(output));
        let scores =
            scores(&tensor).map_err(|error| error.at(format_args!("model '{}': output '{output}'", self.model())))?;
        let rows = if spec.batches() { tensor.shape().first().copied().unwrap_or(1) } else { 1 };
        let Some(len) = scores.len().checked_div(rows).filter(|len| *len > 0) else {
            return Ok(vec![Vec::new(); rows]);
        };
        Ok(scores.chunks(len).map(|row| best(row, count, labels)).collect())
    }
}

fn best<'a>(row: &[f64], count: usize, labels: &'a [String]) -> Vec<Class<'a>> {
    let mut order: Vec<_> = (0..row.len()).collect();
    let rank = |index: &usize| (row[*index].is_nan(), std::cmp::Reverse(Total(row[*index])));
    order.sort_by_key(rank);
    let label = |index: usize| labels.get(index).map(String::as_str);
    order.into_iter().take(count).map(|index| Class { index, score: row[index], label: label(index) }).collect()
}

/// A number that is compared with others in a total order.
#[derive(PartialEq)]
struct Total(f64);

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Both zeros are the same number.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

#[allow(clippy::cast_precision_loss, reason = "scores are compared and shown, not computed with")]
fn scores(tensor: &TensorRef<'_>) -> Result<Vec<f64>, Error> {
    fn read<T: Element>(tensor: &TensorRef<'_>, score: fn(T) -> f64) -> Result<Vec<f64>, Error> {
        Ok(tensor.as_slice::<T>()?.iter().map(|element| score(*element)).collect())
    }
    match tensor.dtype() {
        DataType::Fp32 => read::<f32>(tensor, f64::from),
        DataType::Fp64 => read::<f64>(tensor, f64::from),
        DataType::Uint8 => read::<u8>(tensor, f64::from),
        DataType::Uint16 => read::<u16>(tensor, f64::from),
        DataType::Uint32 => read::<u32>(tensor, f64::from),
        DataType::Uint64 => read::<u64>(tensor, |element| element as f64),
        DataType::Int8 => read::<i8>(tensor, f64::from),
        DataType::Int16 => read::<i16>(tensor, f64::from),
        DataType::Int32 => read::<i32>(tensor, f64::from),
        DataType::Int64 => read::<i64>(tensor, |element| element as f64),
        other => Err(Error::unsupported(format!("found elements of {other}, expected scores of classes"))),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A row, how many are wanted, and those: their numbers and names.
    type Row = (&'static [f64], usize, &'static [(usize, Option<&'static str>)]);

    #[test]
    fn the_best_come_first_and_equal_ones_in_their_order() {
        let labels = ["a", "b", "c"].map(str::to_owned);
        let rows: [Row; 5] = [
            (&[1.0, 3.0, 2.0], 2, &[(1, Some("b")), (2, Some("c"))]),
            (&[1.0, 1.0, 1.0], 2, &[(0, Some("a")), (1, Some("b"))]),
            (&[f64::NAN, -1.0, f64::NEG_INFINITY], 9, &[(1, Some("b")), (2, Some("c")), (0, Some("a"))]),
            (&[0.0, -0.0, 0.0, 5.0], 3, &[(3, None), (0, Some("a")), (1, Some("b"))]),
            (&[1.0], 0, &[]),
        ];
        for (row, count, expected) in rows {
            let found: Vec<_> = best(row, count, &labels).iter().map(|class| (class.index, class.label)).collect();
            assert_eq!(found, expected, "{row:?}");
        }
        assert_eq!(best(&[1.0], 1, &[])[0].label, None);
    }
}
