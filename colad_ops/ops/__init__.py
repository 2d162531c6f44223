"""One file for each operator. The order in a file is always: public function, fake kernel, autograd, reference in plain
PyTorch."""
