"""``tf.train.Example`` messages, parsed and written by protobuf without TensorFlow.

Source: ``tensorflow/core/example/{example,feature}.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format

from zoo.errors import DataError

_DESCRIPTOR = """
name: "zoo/example.proto" package: "zoo" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type {
  name: "Feature"
  oneof_decl { name: "kind" }
  field {
    name: "bytes_list" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".zoo.BytesList" oneof_index: 0
  }
  field {
    name: "float_list" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".zoo.FloatList" oneof_index: 0
  }
  field {
    name: "int64_list" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".zoo.Int64List" oneof_index: 0
  }
}
message_type {
  name: "Features"
  nested_type {
    name: "FeatureEntry"
    options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".zoo.Feature" }
  }
  field {
    name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".zoo.Features.FeatureEntry"
  }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".zoo.Features" }
}
"""


def _example_class() -> type[Any]:
    """Builds the message class of ``tf.train.Example`` in a pool of its own, so that TensorFlow's own may exist too."""
    file = text_format.Parse(_DESCRIPTOR, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("zoo.Example"))


_Example = _example_class()


class Example:
    """A parsed ``tf.train.Example``: features by name.

    Args:
        data: the serialised message.
        origin: file and record, for the message of an error.

    Raises:
        DataError: if the data is not such a message.
    """

    def __init__(self, data: bytes, *, origin: str) -> None:
        self._origin = origin
        try:
            self._features = _Example.FromString(data).features.feature
        except message.DecodeError as error:
            raise DataError(f"{origin}: is not a tf.train.Example: {error}") from error

    def _feature(self, name: str, kind: str) -> Any:
        if name not in self._features:
            raise DataError(f"{self._origin}: has no feature {name!r}; there are {sorted(self._features)}")
        feature = self._features[name]
        found = feature.WhichOneof("kind")
        if found != kind:
            raise DataError(f"{self._origin}: feature {name!r} holds {found or 'nothing'}, expected {kind}")
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
