/* For tests only: takes the place of VirtualBox's own VBoxHeadless, which refuses to run without the kernel module.
 *
 * VirtualBox can run a VM without that module, by interpreting every instruction, and its library has a switch for it that
 * VBoxHeadless does not offer. So: the run-time library, the support library with that switch, and then what VBoxHeadless
 * itself would call. Slow, and enough for a guest of a few bytes. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRAMS "/usr/lib/virtualbox/"
#define WITHOUT_DRIVER 4u
#define INTERPRETER_ALLOWED 8u

static void *library(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!handle)
        fprintf(stderr, "headless: %s\n", dlerror());
    return handle;
}

int main(int argc, char **argv, char **envp)
{
    void *runtime = library(PROGRAMS "VBoxRT.so");
    if (!runtime)
        return 1;
    int (*start_runtime)(int, char ***, uint32_t) = dlsym(runtime, "RTR3InitExe");
    int (*start_support)(uint32_t, void **) = dlsym(runtime, "SUPR3InitEx");
    if (!start_runtime || !start_support) {
        fprintf(stderr, "headless: VBoxRT.so is not as expected\n");
        return 1;
    }
    int status = start_runtime(argc, &argv, 0);
    if (status >= 0)
        status = start_support(WITHOUT_DRIVER | INTERPRETER_ALLOWED, NULL);
    if (status < 0) {
        fprintf(stderr, "headless: VirtualBox's status is %d\n", status);
        return 1;
    }
    void *headless = library(PROGRAMS "VBoxHeadless.so");
    int (*trusted_main)(int, char **, char **) = headless ? dlsym(headless, "TrustedMain") : NULL;
    return trusted_main ? trusted_main(argc, argv, envp) : 1;
}
