//! Inputs of a batch that are not the rows of its requests, and outputs that are not handed out by rows: Triton's ragged
//! batches.
//!
//! ```text
//!   requests        [1, 3] a b c          [2, 2] d e f g
//!   Flat            [7]    a b c d e f g                   one after the other, whatever their shapes
//!   Told            [2]    3 7                             what another input is like, by request or by row
//!   scattered       [7]    A B C | D E F G  -> [1, 3], [2, 2]   by the shape of an input
//! ```
//!
//! Which inputs and outputs are such is decided when a model is made to serve. Pure; any thread.

use crate::config::{BatchInputKind, ModelConfig};
use crate::memory::BlockPool;
use inferlay_backend_sdk::{DataType, Error, ErrorKind, Shape, Signature, Tensor};

/// How all inputs of a model are made, and how its outputs are handed out, by their index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joints {
    pub(crate) inputs: Vec<Join>,
    pub(crate) outputs: Vec<Option<Scatter>>,
}

impl Joints {
    pub(crate) fn of(config: &ModelConfig, signature: &Signature) -> Self {
        let inputs = signature.inputs.iter().map(|spec| Join::of(&spec.name, config, signature));
        let outputs = signature.outputs.iter().map(|spec| Scatter::of(&spec.name, config, signature));
        Joints { inputs: inputs.collect(), outputs: outputs.collect() }
    }
}

/// How an input of a batch is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Join {
    /// Of the requests' own, along the first dim.
    #[default]
    Rows,
    /// Of the requests' own, as one dim.
    Flat,
    /// Of the shapes of another input, by its index: requests do not have this one.
    Told { kind: BatchInputKind, source: usize },
}

/// How one output is handed out by the shape of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scatter {
    /// The input, by its index.
    pub(crate) source: usize,
    /// The dims of the part of one request, the batch included; those that vary are as in the input.
    dims: Vec<i64>,
}

impl Join {
    /// How the input of that name is made.
    pub(crate) fn of(name: &str, config: &ModelConfig, signature: &Signature) -> Self {
        let told = config.batch_inputs.iter().find(|batch| batch.targets.iter().any(|target| target == name));
        if let Some((batch, source)) = told.and_then(|batch| Some((batch, index(batch.sources.first()?, signature)?))) {
            return Join::Told { kind: batch.kind, source };
        }
        let is_ragged = config.inputs.iter().any(|input| input.name == name && input.allow_ragged_batch);
        if is_ragged { Join::Flat } else { Join::Rows }
    }

    /// Whether requests have it.
    pub(crate) fn is_of_requests(self) -> bool {
        !matches!(self, Join::Told { .. })
    }
}

impl Scatter {
    /// How the output of that name is handed out, if not by rows.
    pub(crate) fn of(name: &str, config: &ModelConfig, signature: &Signature) -> Option<Self> {
        let batch = config.batch_outputs.iter().find(|batch| batch.targets.iter().any(|target| target == name))?;
        let output = config.outputs.iter().find(|output| output.name == name)?;
        let dims = output.reshape.as_ref().unwrap_or(&output.dims).iter().copied();
        let first = (config.max_batch_size > 0).then_some(-1);
        Some(Scatter {
            source: index(batch.sources.first()?, signature)?,
            dims: first.into_iter().chain(dims).collect(),
        })
    }

    /// The shape of the part of a request whose input has that shape.
    ///
    /// # Errors
    /// `INVALID_ARG` for an input with too few dims.
    pub(crate) fn shape(&self, source: &Shape) -> Result<Shape, Error> {
        let dim = |(at, dim): (usize, &i64)| usize::try_from(*dim).ok().or_else(|| source.get(at).copied());
        let dims = self.dims.iter().enumerate().map(dim);
        let shape: Option<Shape> = dims.collect();
        let len = self.dims.len();
        shape.ok_or_else(|| Error::invalid_arg(format!("found an input of shape {source}, expected {len} dims")))
    }
}

fn index(input: &str, signature: &Signature) -> Option<usize> {
    signature.inputs.iter().position(|spec| spec.name == *input)
}

/// The input that tells of another one, of which these are the shapes in the requests of the batch; they are walked twice.
///
/// # Errors
/// `INVALID_ARG` for shapes that differ in rank or numbers that the type does not hold, `RESOURCE_EXHAUSTED` without
/// memory.
pub(crate) fn told<'a, I>(
    kind: BatchInputKind,
    dtype: DataType,
    shapes: impl Fn() -> I,
    pool: &BlockPool,
) -> Result<Tensor, Error>
where
    I: Iterator<Item = Result<&'a Shape, Error>>,
{
    let shape = told_shape(kind, shapes())?;
    let len = shape.elements().and_then(|elements| elements.checked_mul(NUMBER_LEN));
    let block = len.and_then(|len| pool.take(len));
    let no_memory = || Error::new(ErrorKind::ResourceExhausted, format!("no memory for an input of shape {shape}"));
    let mut block = block.ok_or_else(no_memory)?;
    if kind == BatchInputKind::MaxElementCountAsShape {
        // Its shape says it all, and the block was somebody else's before.
        block.bytes_mut().fill(0);
    }
    let mut places = block.bytes_mut().chunks_exact_mut(NUMBER_LEN);
    let mut put = |value: usize| {
        let place = places.next();
        place.map_or(Ok(()), |place| number(value, dtype).map(|bytes| place.copy_from_slice(&bytes)))
    };
    let mut sum = 0;
    if kind == BatchInputKind::AccumulatedElementCountWithZero {
        put(0)?;
    }
    for source in shapes() {
        let source = source?;
        sum += source.elements().unwrap_or(0);
        match kind {
            BatchInputKind::ElementCount => put(source.elements().unwrap_or(0))?,
            BatchInputKind::AccumulatedElementCount | BatchInputKind::AccumulatedElementCountWithZero => put(sum)?,
            BatchInputKind::MaxElementCountAsShape => {}
            BatchInputKind::ItemShape | BatchInputKind::ItemShapeFlatten => {
                let (rows, dims) = rows_of(source);
                (0..rows).flat_map(|_| dims).try_for_each(|dim| put(*dim))?;
            }
        }
    }
    Tensor::new(dtype, shape, block.share())
}

/// Bytes of an INT32 or FP32.
const NUMBER_LEN: usize = 4;

const UNCOUNTABLE: &str = "found more rows than can be counted";

fn told_shape<'a>(
    kind: BatchInputKind,
    shapes: impl Iterator<Item = Result<&'a Shape, Error>>,
) -> Result<Shape, Error> {
    let (mut requests, mut rows, mut most, mut rank) = (0, 0usize, 0, None);
    for shape in shapes {
        let shape = shape?;
        let (own, dims) = rows_of(shape);
        requests += 1;
        rows = own.checked_add(rows).ok_or_else(|| Error::invalid_arg(UNCOUNTABLE))?;
        most = most.max(shape.elements().unwrap_or(0));
        if *rank.get_or_insert(dims.len()) != dims.len() {
            let expected = rank.map_or(0, |rank| rank + 1);
            return Err(Error::invalid_arg(format!(
                "found shape {shape} in a batch, expected {expected} dims as others"
            )));
        }
    }
    let rank = rank.unwrap_or(0);
    let numbers = |rows: usize| rows.checked_mul(rank).ok_or_else(|| Error::invalid_arg(UNCOUNTABLE));
    Ok(match kind {
        BatchInputKind::ElementCount | BatchInputKind::AccumulatedElementCount => Shape::from([requests]),
        BatchInputKind::AccumulatedElementCountWithZero => Shape::from([requests + 1]),
        BatchInputKind::MaxElementCountAsShape => Shape::from([most]),
        BatchInputKind::ItemShape => Shape::from([rows, rank]),
        BatchInputKind::ItemShapeFlatten => Shape::from([numbers(rows)?]),
    })
}

/// The rows of a shape, which are its first dim, and the dims of each.
fn rows_of(shape: &Shape) -> (usize, &[usize]) {
    shape.split_first().map_or((1, &[]), |(rows, dims)| (*rows, dims))
}

#[allow(clippy::cast_precision_loss, reason = "FP32 is rounded, as Triton does")]
fn number(value: usize, dtype: DataType) -> Result<[u8; NUMBER_LEN], Error> {
    match (dtype, i32::try_from(value)) {
        (DataType::Fp32, _) => Ok((value as f32).to_ne_bytes()),
        (DataType::Int32, Ok(whole)) => Ok(whole.to_ne_bytes()),
        _ => Err(Error::invalid_arg(format!("found {value} elements, expected a number that {dtype} holds"))),
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(kind: BatchInputKind, shapes: &[&[usize]], shape: &[usize], values: &[i32]) {
        let shapes: Vec<_> = shapes.iter().map(|dims| Shape::new(dims)).collect();
        let pool = BlockPool::new();
        for dtype in [DataType::Int32, DataType::Fp32] {
            let told = told(kind, dtype, || shapes.iter().map(Ok), &pool).unwrap();
            assert_eq!(&told.shape()[..], shape, "{kind:?}");
            let found: Vec<i32> = match dtype {
                DataType::Int32 => told.view().as_slice::<i32>().unwrap().to_vec(),
                _ => told.view().as_slice::<f32>().unwrap().iter().map(|value| *value as i32).collect(),
            };
            assert_eq!(found, values, "{kind:?}");
        }
    }

    #[test]
    fn every_kind_tells_of_the_requests_as_triton_does() {
        use BatchInputKind::*;
        let shapes: &[&[usize]] = &[&[1, 3, 2], &[2, 1, 4], &[1, 0, 1]];
        check(ElementCount, shapes, &[3], &[6, 8, 0]);
        check(AccumulatedElementCount, shapes, &[3], &[6, 14, 14]);
        check(AccumulatedElementCountWithZero, shapes, &[4], &[0, 6, 14, 14]);
        check(MaxElementCountAsShape, shapes, &[8], &[0; 8]);
        check(ItemShape, shapes, &[4, 2], &[3, 2, 1, 4, 1, 4, 0, 1]);
        check(ItemShapeFlatten, shapes, &[8], &[3, 2, 1, 4, 1, 4, 0, 1]);
    }

    #[test]
    fn what_was_in_the_memory_before_is_not_told() {
        let pool = BlockPool::new();
        let mut block = pool.take(32).unwrap();
        block.bytes_mut().fill(7);
        drop(block);
        let shape = Shape::from([1, 8]);
        let kind = BatchInputKind::MaxElementCountAsShape;
        let told = told(kind, DataType::Int32, || std::iter::once(Ok(&shape)), &pool).unwrap();
        assert_eq!(told.view().as_slice::<i32>().unwrap(), [0; 8]);
    }

    #[test]
    fn a_float_tells_of_many_elements_as_nearly_as_it_can() {
        let (shape, kind) = (Shape::from([(1 << 24) + 1]), BatchInputKind::ElementCount);
        let told = told(kind, DataType::Fp32, || std::iter::once(Ok(&shape)), &BlockPool::new()).unwrap();
        assert_eq!(told.view().as_slice::<f32>().unwrap(), [16_777_216.0]);
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let told = |kind, dtype, shapes: &[Shape]| {
            told(kind, dtype, || shapes.iter().map(Ok), &BlockPool::new()).unwrap_err().message().to_owned()
        };
        let huge = Shape::from([1usize << 31]);
        assert_eq!(
            told(BatchInputKind::ElementCount, DataType::Int32, &[huge]),
            "found 2147483648 elements, expected a number that INT32 holds"
        );
        let shapes = [Shape::from([1, 2]), Shape::from([1])];
        assert_eq!(
            told(BatchInputKind::ItemShape, DataType::Int32, &shapes),
            "found shape [1] in a batch, expected 2 dims as others"
        );
        let many = Shape::new(&[1 << 62, 0, 0, 0, 0]);
        assert_eq!(told(BatchInputKind::ItemShapeFlatten, DataType::Int32, &[many]), UNCOUNTABLE);
    }

    #[test]
    fn a_scattered_part_takes_the_dims_that_vary_from_the_input() {
        let scatter = Scatter { source: 0, dims: vec![-1, 3, -1] };
        assert_eq!(scatter.shape(&Shape::from([2, 9, 5])).unwrap(), Shape::from([2, 3, 5]));
        assert_eq!(
            scatter.shape(&Shape::from([2, 9])).unwrap_err().message(),
            "found an input of shape [2, 9], expected 3 dims"
        );
    }
}
