"""A plug-in that cannot be imported; Assay must report it and carry on."""

import a_package_that_is_not_installed  # type: ignore[import-not-found]

Broken = a_package_that_is_not_installed.Broken
