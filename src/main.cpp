#include "src/cli/app.h"

int main(int argc, char** argv) { return krait::cli::run(argc, argv); }
