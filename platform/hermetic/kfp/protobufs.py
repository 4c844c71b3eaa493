"""Write two generated Go files of Kubeflow Pipelines anew, from the descriptors inside its Python packages.

Run in an environment with requirements.txt: `protobufs.py PROTOC_GEN_GO TREE`. The packages `kfp.pipeline_spec` and
`kfp.kubernetes` are loaded alone: importing `kfp.kubernetes` itself would ask for the whole SDK.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor import FileDescriptor

SOURCES = {
    "kfp.pipeline_spec.pipeline_spec_pb2": "api/v2alpha1/go/pipelinespec/pipeline_spec.pb.go",
    "kfp.kubernetes.kubernetes_executor_config_pb2": (
        "kubernetes_platform/go/kubernetesplatform/kubernetes_executor_config.pb.go"
    ),
}


def main(generator: str, tree: str) -> None:
    """Generate each file of SOURCES and put it into `tree`."""
    _hollow_packages()
    for module, target in SOURCES.items():
        descriptor: FileDescriptor = importlib.import_module(module).DESCRIPTOR
        path = Path(tree) / target
        if not path.is_file():
            sys.exit(f"{target}: not in the tree; its layout has changed")
        path.write_text(_generate(generator, descriptor), encoding="utf-8")


def _hollow_packages() -> None:
    site = Path(sysconfig.get_path("purelib"))
    for name in ("kfp", "kfp.kubernetes"):
        package = types.ModuleType(name)
        package.__path__ = [str(site.joinpath(*name.split(".")))]
        sys.modules[name] = package


def _generate(generator: str, descriptor: FileDescriptor) -> str:
    request = plugin_pb2.CodeGeneratorRequest(file_to_generate=[descriptor.name], parameter="paths=source_relative")
    _add(descriptor, request, set())
    answer = subprocess.run([generator], input=request.SerializeToString(), capture_output=True, check=True).stdout
    response = plugin_pb2.CodeGeneratorResponse.FromString(answer)
    if response.error or len(response.file) != 1:
        sys.exit(f"{descriptor.name}: {response.error or 'not one file'}")
    return str(response.file[0].content)


def _add(descriptor: FileDescriptor, request: plugin_pb2.CodeGeneratorRequest, seen: set[str]) -> None:
    """Add a file after all that it imports, as the protocol of plug-ins asks."""
    if descriptor.name in seen:
        return
    seen.add(descriptor.name)
    for imported in descriptor.dependencies:
        _add(imported, request, seen)
    descriptor.CopyToProto(request.proto_file.add())


if __name__ == "__main__":
    main(*sys.argv[1:])
