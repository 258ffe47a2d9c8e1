"""``tf.train.Example`` messages, parsed and written by protobuf without TensorFlow.

Source: ``tensorflow/core/example/{example,feature}.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from zoo.errors import DataError


def _example_class() -> type[Any]:
    """Builds the message class of ``tf.train.Example`` in a pool of its own, so that TensorFlow's own may exist too."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="zoo/example.proto", package="zoo", syntax="proto3")
    for name, kind, packed in (
        ("BytesList", field.TYPE_BYTES, False),
        ("FloatList", field.TYPE_FLOAT, True),
        ("Int64List", field.TYPE_INT64, True),
    ):
        value = file.message_type.add(name=name).field.add(
            name="value", number=1, type=kind, label=field.LABEL_REPEATED
        )
        if packed:  # readers accept both forms whatever is declared here
            value.options.packed = True

    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), start=1):
        list_name = name.title().replace("_", "")
        feature.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".zoo.{list_name}",
            label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )

    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=field.TYPE_MESSAGE, type_name=".zoo.Feature", label=field.LABEL_OPTIONAL
    )
    features.field.add(
        name="feature",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".zoo.Features.FeatureEntry",
        label=field.LABEL_REPEATED,
    )

    example = file.message_type.add(name="Example")
    example.field.add(
        name="features", number=1, type=field.TYPE_MESSAGE, type_name=".zoo.Features", label=field.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("zoo.Example"))


_Example = _example_class()


class Example:
    """A parsed ``tf.train.Example``: features by name.

    Args:
        data: the serialised message.
        where: what to call it in the message of an error, such as the file and the record.

    Raises:
        DataError: if the data is not such a message.
    """

    def __init__(self, data: bytes, *, where: str) -> None:
        self._where = where
        try:
            self._features = _Example.FromString(data).features.feature
        except message.DecodeError as error:
            raise DataError(f"{where}: is not a tf.train.Example: {error}") from error

    def _feature(self, name: str, kind: str) -> Any:
        if name not in self._features:
            raise DataError(f"{self._where}: has no feature {name!r}; there are {sorted(self._features)}")
        feature = self._features[name]
        found = feature.WhichOneof("kind")
        if found != kind:
            raise DataError(f"{self._where}: feature {name!r} holds {found or 'nothing'}, expected {kind}")
        return getattr(feature, kind).value

    def bytes_list(self, name: str) -> Sequence[bytes]:
        """Returns a feature of byte strings; an item is copied when it is indexed."""
        return self._feature(name, "bytes_list")

    def float_list(self, name: str) -> np.ndarray:
        """Returns a feature of numbers, [n] float32."""
        return np.array(self._feature(name, "float_list"), dtype=np.float32)


def serialise_example(features: Mapping[str, Sequence[bytes] | np.ndarray]) -> bytes:
    """Returns a ``tf.train.Example``: arrays become float lists, sequences of byte strings become bytes lists."""
    example = _Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        if isinstance(value, np.ndarray):
            feature.float_list.value.extend(value.astype(np.float32).ravel().tolist())
        else:
            feature.bytes_list.value.extend(value)
    return example.SerializeToString(deterministic=True)
