// The Python module `cascade_rpn_d2._C`: empty. Importing it loads the library, whose static
// initialisers register the operators; only the stable ABI of Python is used (PEP 384).
#include <Python.h>

extern "C" PyMODINIT_FUNC PyInit__C(void) {
  static PyModuleDef module = {
      PyModuleDef_HEAD_INIT, "_C", "Compiled operators of cascade_rpn_d2 (torch.ops.cascade_rpn_d2).",
      -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
