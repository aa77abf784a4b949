package native

// #include "bridge.h"
import "C"

// ConfigPreset is the whole document of a preset.
func ConfigPreset(name string) (string, *Failure) {
	text, length := chars(name)
	var config *C.trunkline_config_t
	var object *C.trunkline_error_t
	status := C.trunkline_config_preset(text, length, &config, &object)
	return document(config), fail(status, object)
}

// ConfigFromJSON checks a document and fills it up.
func ConfigFromJSON(json string) (string, *Failure) {
	text, length := chars(json)
	var config *C.trunkline_config_t
	var object *C.trunkline_error_t
	status := C.trunkline_config_from_json(text, length, &config, &object)
	return document(config), fail(status, object)
}

// ConfigFromEnv is the whole document of the preset that the environment names.
func ConfigFromEnv() (string, *Failure) {
	var config *C.trunkline_config_t
	var object *C.trunkline_error_t
	status := C.trunkline_config_from_env(&config, &object)
	return document(config), fail(status, object)
}

func document(config *C.trunkline_config_t) string {
	if config == nil {
		return ""
	}
	defer C.trunkline_config_free(config)
	return C.GoString(C.trunkline_config_json(config, nil))
}
